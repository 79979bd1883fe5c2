package ovsdb

import (
	"fmt"
	"slices"
	"strings"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// bridge makes one bridge as wanted, and its ports.
func (p *planner) bridge(w *model.Switch) {
	k := key{sw: w.Name}
	b := p.v.bridges[w.Name]
	switch {
	case b == "":
		if pr := p.nameTaken(w); pr != (problem{}) {
			p.problems[k] = pr
		} else if p.hasPlace(w) {
			p.newBridge(w)
		}
		return
	case p.v.mine("Bridge", b):
		if !p.held(k) {
			p.ownBridge(w, b)
		}
	default:
		p.foreignBridge(w, b)
	}
	for _, port := range p.portsOf(w) {
		if name := p.port(w, b, port); name.Str != "" {
			c := p.onBridge(b, k)
			c.add = append(c.add, name)
		}
	}
}

// hasPlace tells whether the ports of a switch can be written now: its bridge is
// there, or can be made.
func (p *planner) hasPlace(w *model.Switch) bool {
	return p.v.bridges[w.Name] != "" ||
		!p.held(key{sw: w.Name}) && !p.held(key{w.Name, w.Name}) && p.nameTaken(w) == (problem{})
}

// nameTaken says who has the name of a bridge that is to be made.
func (p *planner) nameTaken(w *model.Switch) problem {
	if own, bad := p.problems[key{w.Name, w.Name}]; bad {
		return own
	}
	u := p.v.ports[w.Name]
	if u != "" && !p.v.mine("Port", u) {
		return problem{"KEY_TAKEN: somebody else has a port of this name on bridge " + p.v.name("Bridge", p.v.bridgeOf[u]), true}
	}
	if taken := p.ifaceTaken(w.Name, u); taken != "" {
		return problem{taken, true}
	}
	return problem{}
}

func (p *planner) newBridge(w *model.Switch) {
	k := key{sw: w.Name}
	var ports, controllers rfc7047.Value
	for _, port := range p.portsOf(w) {
		if name := p.port(w, "", port); name.Str != "" {
			ports.Keys = append(ports.Keys, name)
		}
	}
	for _, t := range targets(w) {
		controllers.Keys = append(controllers.Keys, p.newController(k, t))
	}
	row := []rfc7047.Cell{{Column: "name", Value: rfc7047.Str(w.Name)}, {Column: "ports", Value: ports}, {Column: "external_ids", Value: p.mark()}}
	row = append(row, filled(bridgeCells(w))...)
	if len(controllers.Keys) > 0 {
		row = append(row, rfc7047.Cell{Column: "controller", Value: controllers})
	}
	if a := ageing(w); a != "" {
		row = append(row, rfc7047.Cell{Column: "other_config", Value: rfc7047.Map(ageingKey, a)})
	}
	name := p.name()
	p.add(k, rfc7047.Insert("Bridge", name, row...).About(k.String()))
	p.root.add = append(p.root.add, named(name))
	p.counts.added++
}

// filled leaves out cells that are at their default.
func filled(cells []rfc7047.Cell) []rfc7047.Cell {
	return slices.DeleteFunc(cells, func(c rfc7047.Cell) bool {
		t := c.Value.Text()
		return len(c.Value.Keys) == 0 || t == "" || t == "false"
	})
}

// targets are the controllers of a switch, each once.
func targets(w *model.Switch) []string {
	return slices.Compact(slices.Sorted(slices.Values(w.Controllers)))
}

func (p *planner) newController(k key, target string) rfc7047.Atom {
	name := p.name()
	p.add(k, rfc7047.Insert("Controller", name, rfc7047.Cell{Column: "target", Value: rfc7047.Str(target)},
		rfc7047.Cell{Column: "external_ids", Value: p.mark()}).About("controller "+target))
	return named(name)
}

// ownBridge brings the settings of a bridge that we made up to date.
func (p *planner) ownBridge(w *model.Switch, b string) {
	k := key{sw: w.Name}
	changed := false
	if cells := p.differing("Bridge", b, bridgeCells(w)); len(cells) > 0 {
		p.add(k, rfc7047.Update("Bridge", p.ours(b), cells...).About(k.String()))
		changed = true
	}
	mutations := p.mapDiff("other_config", p.v.get("Bridge", b, "other_config"), rfc7047.Map(nonEmpty(ageingKey, ageing(w))...), func(k string) bool { return k == ageingKey })
	if m := p.controllers(k, w, b); len(m) > 0 {
		mutations = append(mutations, m...)
	}
	if len(mutations) > 0 {
		p.add(k, rfc7047.Mutate("Bridge", p.ours(b), mutations...).About(k.String()))
		changed = true
	}
	if changed {
		p.counts.changed++
	}
}

func nonEmpty(key, value string) []string {
	if value == "" {
		return nil
	}
	return []string{key, value}
}

// controllers compares those of a bridge; one that others have added stays,
// and serves when it is the same.
func (p *planner) controllers(k key, w *model.Switch, b string) []rfc7047.Mutation {
	have := map[string]bool{}
	var drop, add rfc7047.Value
	want := targets(w)
	for _, u := range p.v.Table("Bridge")[b].Refs("controller") {
		target := p.v.Table("Controller")[u].Text("target")
		if p.v.mine("Controller", u) && (!slices.Contains(want, target) || have[target]) {
			drop.Keys = append(drop.Keys, ref(u))
			continue
		}
		have[target] = true
	}
	for _, t := range want {
		if !have[t] {
			add.Keys = append(add.Keys, p.newController(k, t))
		}
	}
	return setDiff("controller", drop, add)
}

// foreignBridge says how a bridge that others made differs from what is asked
// for. It is used as it is.
func (p *planner) foreignBridge(w *model.Switch, b string) {
	asked := filled(bridgeCells(w))
	var diff []string
	for _, c := range p.differing("Bridge", b, asked) {
		have := p.v.get("Bridge", b, c.Column)
		diff = append(diff, fmt.Sprintf("its %s is %q, not %q", c.Column, have.Text(), c.Value.Text()))
	}
	if a := ageing(w); a != "" {
		if have, _ := p.v.get("Bridge", b, "other_config").Get(ageingKey); have != a {
			diff = append(diff, fmt.Sprintf("its %s is %q, not %q", ageingKey, have, a))
		}
	}
	have := map[string]bool{}
	for _, u := range p.v.Table("Bridge")[b].Refs("controller") {
		have[p.v.Table("Controller")[u].Text("target")] = true
	}
	for _, t := range targets(w) {
		if !have[t] {
			diff = append(diff, fmt.Sprintf("it has no controller %q", t))
		}
	}
	if len(diff) > 0 {
		p.problems[key{sw: w.Name}] = problem{"KEY_TAKEN: somebody else has made this bridge, and " + strings.Join(diff, ", ") + "; change it there, or do not ask for it here", true}
	}
}
