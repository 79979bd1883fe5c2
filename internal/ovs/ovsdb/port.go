package ovsdb

import (
	"fmt"
	"slices"
	"strings"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// release takes interfaces that are ours out of ports that are not to have
// them any more, before others look for their names. A port that cannot be
// changed now keeps what it has, and so may every port that waits for it.
func (p *planner) release(valid []*model.Switch) {
	type loss struct {
		sw     *model.Switch
		port   *model.SwitchPort
		uuid   string
		ifaces []string
	}
	var losses []loss
	for _, w := range valid {
		for _, port := range p.portsOf(w) {
			u := p.v.ports[port.Name]
			if u == "" || !p.v.mine("Port", u) || p.held(key{w.Name, port.Name}) {
				continue
			}
			l := loss{sw: w, port: port, uuid: u}
			for _, i := range p.v.Table("Port")[u].Refs("interfaces") {
				if p.v.mine("Interface", i) && !slices.Contains(members(port), p.v.name("Interface", i)) {
					l.ifaces = append(l.ifaces, i)
					p.released[i] = true
				}
			}
			if len(l.ifaces) > 0 {
				losses = append(losses, l)
			}
		}
	}
	for again := true; again; {
		again = false
		losses = slices.DeleteFunc(losses, func(l loss) bool {
			blocked := !p.hasPlace(l.sw) || slices.ContainsFunc(members(l.port), func(name string) bool { return p.ifaceTaken(name, l.uuid) != "" })
			for _, i := range l.ifaces {
				p.released[i] = !blocked
			}
			again = again || blocked
			return blocked
		})
	}
}

// port makes a port as wanted. It returns the row that its bridge is to gain,
// if any: a new one, or one that comes from another bridge.
func (p *planner) port(w *model.Switch, bridge string, port *model.SwitchPort) rfc7047.Atom {
	k := key{w.Name, port.Name}
	u := p.v.ports[port.Name]
	switch {
	case p.released[u]:
		u = ""
	case u != "" && !p.v.mine("Port", u):
		p.foreignPort(k, bridge, u, port)
		return rfc7047.Atom{}
	}
	if p.held(k) {
		return rfc7047.Atom{}
	}
	for _, name := range members(port) {
		if taken := p.ifaceTaken(name, u); taken != "" {
			p.problems[k] = problem{taken, true}
			return rfc7047.Atom{}
		}
	}
	if u == "" {
		return p.newPort(k, port)
	}
	p.ownPort(k, u, port)
	old := p.v.bridgeOf[u]
	if old == bridge {
		return rfc7047.Atom{}
	}
	c := p.onBridge(old, key{sw: p.v.name("Bridge", old)})
	c.drop = append(c.drop, ref(u))
	p.touched[k] = true
	p.counts.changed++
	return ref(u)
}

// ifaceTaken says who has an interface of this name outside of the port.
func (p *planner) ifaceTaken(name, port string) string {
	i := p.v.ifaces[name]
	if i == "" || p.released[i] {
		return ""
	}
	holder := p.v.portOf[i]
	if holder == port && port != "" {
		return ""
	}
	who := "somebody else has"
	if p.v.mine("Interface", i) {
		who = "we still have"
	}
	return fmt.Sprintf("KEY_TAKEN: %s interface %s in port %s of bridge %s", who, name, p.v.name("Port", holder), p.v.name("Bridge", p.v.bridgeOf[holder]))
}

func (p *planner) newPort(k key, port *model.SwitchPort) rfc7047.Atom {
	var ifaces []string
	for _, name := range members(port) {
		ifaces = append(ifaces, p.newIface(k, name, port))
	}
	name := p.name()
	row := append([]rfc7047.Cell{
		{Column: "name", Value: rfc7047.Str(port.Name)},
		{Column: "interfaces", Value: rfc7047.NamedRefs(ifaces...)},
		{Column: "external_ids", Value: p.mark()},
	}, filled(portCells(port))...)
	p.add(k, rfc7047.Insert("Port", name, row...).About(k.String()))
	p.counts.added++
	return named(name)
}

func (p *planner) newIface(k key, iface string, port *model.SwitchPort) string {
	row := append([]rfc7047.Cell{
		{Column: "name", Value: rfc7047.Str(iface)},
		{Column: "external_ids", Value: p.mark()},
	}, filled(ifaceCells(port))...)
	if o := options(port); len(o.Keys) > 0 {
		row = append(row, rfc7047.Cell{Column: "options", Value: o})
	}
	name := p.name()
	p.add(k, rfc7047.Insert("Interface", name, row...).About("interface "+iface))
	return name
}

// ownPort brings a port that we made up to date.
func (p *planner) ownPort(k key, u string, port *model.SwitchPort) {
	before := len(p.ops)
	if cells := p.differing("Port", u, portCells(port)); len(cells) > 0 {
		p.add(k, rfc7047.Update("Port", p.ours(u), cells...).About(k.String()))
	}
	var drop, add rfc7047.Value
	have := p.v.Table("Port")[u].Refs("interfaces")
	for _, i := range have {
		if p.released[i] {
			drop.Keys = append(drop.Keys, ref(i))
		}
	}
	for _, name := range members(port) {
		if i := p.v.ifaces[name]; i == "" || p.released[i] {
			add.Keys = append(add.Keys, named(p.newIface(k, name, port)))
		} else {
			p.iface(k, i, port)
		}
	}
	if muts := setDiff("interfaces", drop, add); len(muts) > 0 {
		p.add(k, rfc7047.Mutate("Port", p.ours(u), muts...).About(k.String()))
	}
	if len(p.ops) > before {
		p.counts.changed++
	}
}

// iface brings an interface of one of our ports up to date.
func (p *planner) iface(k key, i string, port *model.SwitchPort) {
	cells := p.differing("Interface", i, ifaceCells(port))
	muts := p.mapDiff("options", p.v.get("Interface", i, "options"), options(port), func(string) bool { return true })
	if len(cells)+len(muts) == 0 {
		return
	}
	name := p.v.name("Interface", i)
	if !p.v.mine("Interface", i) {
		p.problems[k] = problem{"KEY_TAKEN: somebody else has made interface " + name + " of this port, with other settings", true}
		return
	}
	if len(cells) > 0 {
		p.add(k, rfc7047.Update("Interface", p.ours(i), cells...).About("interface "+name))
	}
	if len(muts) > 0 {
		p.add(k, rfc7047.Mutate("Interface", p.ours(i), muts...).About("interface "+name))
	}
}

// foreignPort says how a port that others made differs from what is wanted. It
// serves when it does not.
func (p *planner) foreignPort(k key, bridge, u string, port *model.SwitchPort) {
	have := p.v.Table("Port")[u]
	var diff []string
	if on := p.v.bridgeOf[u]; on != bridge {
		diff = append(diff, "it is on bridge "+p.v.name("Bridge", on))
	}
	say := func(table, uuid string, cells []rfc7047.Cell) {
		for _, c := range p.differing(table, uuid, cells) {
			diff = append(diff, fmt.Sprintf("its %s is %s, not %s", c.Column, text(p.v.get(table, uuid, c.Column)), text(c.Value)))
		}
	}
	say("Port", u, portCells(port))
	var names []string
	for _, i := range have.Refs("interfaces") {
		name := p.v.name("Interface", i)
		names = append(names, name)
		cells := ifaceCells(port)
		if port.Number == 0 { // any will do
			cells = cells[:1]
		}
		say("Interface", i, append(cells, rfc7047.Cell{Column: "options", Value: options(port)}))
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(members(port))); !slices.Equal(names, want) {
		diff = append(diff, fmt.Sprintf("its interfaces are %s, not %s", strings.Join(names, ", "), strings.Join(want, ", ")))
	}
	pr := problem{foreign: true}
	if len(diff) > 0 {
		pr.err = "KEY_TAKEN: somebody else has made a port of this name, and " + strings.Join(diff, ", ")
	}
	p.problems[k] = pr
}

// text is a value for people; an empty one is said to be so.
func text(v rfc7047.Value) string {
	if t := v.Text(); t != "" && t != "[]" && t != "{}" {
		return t
	}
	return "not set"
}
