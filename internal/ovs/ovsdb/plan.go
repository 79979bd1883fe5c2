package ovsdb

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// key names what is wanted: a switch, or a port of one.
type key struct{ sw, port string }

func (k key) String() string {
	if k.port == "" {
		return "switch " + k.sw
	}
	return "port " + k.port + " of switch " + k.sw
}

// problem is why a key is not as wanted, and is left.
type problem struct {
	err     string
	foreign bool // somebody else has made it
}

// plan is one transaction, and what was found while it was made.
type plan struct {
	ops  []rfc7047.Op
	keys []key // what each operation is for; zero: for all
	// one has the operations that must find one row.
	one      map[int]bool
	touched  map[key]bool
	problems map[key]problem
	kept     map[string]string // bridges that are ours, unwanted, and why they stay
	counts   struct{ added, changed, removed int }
}

// planner makes a plan. It is pure: the same view and wants give the same plan.
type planner struct {
	*plan
	v *view
	// held tells whether a key must not be written now.
	held func(key) bool

	owner    map[string]string // the switch that has the say over a port's name
	ifaces   map[string]key    // the port that has the say over an interface's name
	spec     map[key]*model.SwitchPort
	bad      map[string]bool // ports that are wanted but cannot be said: what is there stays
	released map[string]bool // ports and interfaces that this transaction lets go
	ports    map[string]*change
	root     change // bridges of the root row
	named    int
}

// change is what a set of references gains and loses.
type change struct {
	key       key
	add, drop []rfc7047.Atom
}

// newPlan computes the transaction that makes the database as wanted: nothing
// when it is. want is sorted by name.
func newPlan(v *view, want []model.Switch, held func(key) bool) *plan {
	p := &planner{
		plan: &plan{one: map[int]bool{}, touched: map[key]bool{}, problems: map[key]problem{}, kept: map[string]string{}},
		v:    v, held: held,
		owner: map[string]string{}, ifaces: map[string]key{}, spec: map[key]*model.SwitchPort{}, bad: map[string]bool{},
		released: map[string]bool{}, ports: map[string]*change{},
	}
	valid := p.claim(want)
	p.remove(valid)
	p.release(valid)
	for _, w := range valid {
		p.bridge(w)
	}
	p.finish()
	return p.plan
}

// claim checks what is wanted, and settles who has the say over each name.
func (p *planner) claim(want []model.Switch) (valid []*model.Switch) {
	for i := range want {
		w := &want[i]
		k := key{sw: w.Name}
		if err := checkSwitch(p.v.Schema, w); err != nil {
			p.problems[k] = problem{err: err.Error()}
			continue
		}
		if i > 0 && want[i-1].Name == w.Name {
			continue // the first has the say
		}
		valid = append(valid, w)
		p.claimPort(w, &model.SwitchPort{Name: w.Name, Type: "internal"}, true)
	}
	for _, w := range valid {
		for i := range w.Ports {
			p.claimPort(w, &w.Ports[i], false)
		}
	}
	return valid
}

// claimPort gives a port its name and those of its interfaces; implied is the
// port that every bridge has.
func (p *planner) claimPort(w *model.Switch, port *model.SwitchPort, implied bool) {
	k := key{w.Name, port.Name}
	if b := p.v.bridges[w.Name]; implied && b != "" && !p.v.mine("Bridge", b) {
		return // its maker's
	}
	err := checkPort(p.v.Schema, port)
	if other, ok := p.owner[port.Name]; err == nil && ok && other != w.Name {
		err = fmt.Errorf("KEY_TAKEN: switch %s has a port of this name as well", other)
	}
	for _, name := range members(port) {
		if other, ok := p.ifaces[name]; err == nil && ok && other != k {
			err = fmt.Errorf("KEY_TAKEN: %s has the interface %s as well", other, name)
		}
	}
	if err != nil {
		p.problems[k] = problem{err: err.Error()}
		if p.owner[port.Name] == w.Name || p.owner[port.Name] == "" {
			p.bad[port.Name] = true
			delete(p.spec, k)
		}
		return
	}
	p.owner[port.Name] = w.Name
	p.spec[k] = port
	for _, name := range members(port) {
		p.ifaces[name] = k
	}
}

// portsOf lists the ports of a switch that may be made, by name.
func (p *planner) portsOf(w *model.Switch) []*model.SwitchPort {
	var list []*model.SwitchPort
	if own := p.spec[key{w.Name, w.Name}]; own != nil {
		list = append(list, own)
	}
	for i := range w.Ports {
		if port := &w.Ports[i]; p.spec[key{w.Name, port.Name}] == port && port.Name != w.Name {
			list = append(list, port)
		}
	}
	return list
}

// add appends an operation for a key; it must find one row unless many.
func (p *planner) add(k key, op rfc7047.Op) {
	if op.Op == "update" || op.Op == "mutate" {
		p.one[len(p.ops)] = true
	}
	p.ops = append(p.ops, op)
	p.keys = append(p.keys, k)
	if k.sw != "" {
		p.touched[k] = true
	}
}

// ours is the condition that holds for a row as long as it has our mark.
func (p *planner) ours(uuid string) []rfc7047.Cond {
	return append(rfc7047.ByUUID(uuid), rfc7047.Cond{Column: "external_ids", Op: "includes", Value: p.mark()})
}

func (p *planner) mark() rfc7047.Value { return rfc7047.Map(markKey, p.v.id) }

// name makes a name for a row that this transaction inserts.
func (p *planner) name() string {
	p.named++
	return "r" + strconv.Itoa(p.named)
}

// onBridge is the change of a bridge's ports.
func (p *planner) onBridge(uuid string, k key) *change {
	c := p.ports[uuid]
	if c == nil {
		c = &change{key: key{sw: k.sw}}
		p.ports[uuid] = c
	}
	return c
}

func ref(uuid string) rfc7047.Atom   { return rfc7047.Atom{Kind: rfc7047.UUID, Str: uuid} }
func named(name string) rfc7047.Atom { return rfc7047.Atom{Kind: rfc7047.NamedUUID, Str: name} }

// remove takes away what is ours and not wanted. A bridge on which others have
// ports stays until they are gone.
func (p *planner) remove(valid []*model.Switch) {
	v := p.v
	wanted := map[string]bool{}
	for _, w := range valid {
		wanted[w.Name] = true
	}
	going := map[string]bool{}
	for _, b := range v.sorted("Bridge", func(u string) bool { return v.mine("Bridge", u) }) {
		name := v.name("Bridge", b)
		if _, bad := p.problems[key{sw: name}]; wanted[name] || bad {
			continue
		}
		if others := p.others(b); len(others) > 0 {
			p.kept[name] = "it is not wanted any more, and stays until its ports of others are gone: " + strings.Join(others, ", ")
			continue
		}
		k := key{sw: name}
		if p.held(k) {
			continue
		}
		going[b] = true
		p.guard(k, "Bridge", b, "ports", "external_ids")
		p.root.drop = append(p.root.drop, ref(b))
		p.counts.removed++
	}
	for _, u := range v.sorted("Port", func(u string) bool { return v.mine("Port", u) }) {
		name, b := v.name("Port", u), v.bridgeOf[u]
		k := key{v.name("Bridge", b), name}
		_, bad := p.problems[key{sw: k.sw}]
		switch {
		case p.owner[name] != "" || (bad || p.bad[name]) && !going[b] || b == "":
			continue
		case going[b]:
		case name == k.sw && v.mine("Bridge", b): // goes with its bridge
			continue
		case p.held(k):
			continue
		default:
			p.guard(k, "Port", u, "external_ids")
			c := p.onBridge(b, k)
			c.drop = append(c.drop, ref(u))
			p.counts.removed++
		}
		p.letGo(u)
	}
}

// others names the ports on a bridge that are not ours.
func (p *planner) others(bridge string) []string {
	var list []string
	for _, u := range p.v.Table("Bridge")[bridge].Refs("ports") {
		if !p.v.mine("Port", u) {
			list = append(list, p.v.name("Port", u))
		}
	}
	slices.Sort(list)
	return list
}

// letGo notes that a port goes with its interfaces: their names are free.
func (p *planner) letGo(port string) {
	p.released[port] = true
	for _, i := range p.v.Table("Port")[port].Refs("interfaces") {
		p.released[i] = true
	}
}

// guard lets the transaction fail when columns of a row are not any more what
// the plan was made from.
func (p *planner) guard(k key, table, uuid string, columns ...string) {
	row := make([]rfc7047.Cell, 0, len(columns))
	for _, c := range columns {
		row = append(row, rfc7047.Cell{Column: c, Value: p.v.get(table, uuid, c)})
	}
	p.add(k, rfc7047.Wait(table, rfc7047.ByUUID(uuid), columns, "==", 0, row).About(k.String()))
}

// differing lists the cells that a row does not have.
func (p *planner) differing(table, uuid string, cells []rfc7047.Cell) []rfc7047.Cell {
	return slices.DeleteFunc(cells, func(c rfc7047.Cell) bool {
		if !p.v.Has(table, c.Column) {
			return true
		}
		have := p.v.get(table, uuid, c.Column)
		if have.Equal(c.Value) {
			return true
		}
		if c.Column == "type" || c.Column == "datapath_type" {
			h, w := have.Text(), c.Value.Text()
			return (h == "" || h == system) && (w == "" || w == system)
		}
		return false
	})
}

// setDiff changes a set: what comes comes first, as some must never be empty.
func setDiff(column string, drop, add rfc7047.Value) []rfc7047.Mutation {
	var list []rfc7047.Mutation
	if len(add.Keys) > 0 {
		list = append(list, rfc7047.Mutation{Column: column, Op: "insert", Value: add})
	}
	if len(drop.Keys) > 0 {
		list = append(list, rfc7047.Mutation{Column: column, Op: "delete", Value: drop})
	}
	return list
}

// mapDiff makes a map's keys that are ours as wanted. What goes goes first: an
// insert alone would not replace the value of a key that is there (RFC 7047
// section 5.1).
func (p *planner) mapDiff(column string, have, want rfc7047.Value, ours func(key string) bool) []rfc7047.Mutation {
	var drop rfc7047.Value
	add := rfc7047.Value{IsMap: true}
	for i, k := range have.Keys {
		if val, ok := want.Get(k.Str); ours(k.Str) && (!ok || val != have.Vals[i].Str) {
			drop.Keys = append(drop.Keys, k)
		}
	}
	for i, k := range want.Keys {
		if val, ok := have.Get(k.Str); !ok || val != want.Vals[i].Str {
			add.Keys, add.Vals = append(add.Keys, k), append(add.Vals, want.Vals[i])
		}
	}
	list := setDiff(column, drop, add)
	slices.Reverse(list)
	return list
}

// finish writes what sets of references gain and lose, and counts up next_cfg.
func (p *planner) finish() {
	for _, b := range slices.Sorted(maps.Keys(p.ports)) {
		c := p.ports[b]
		muts := setDiff("ports", rfc7047.Value{Keys: c.drop}, rfc7047.Value{Keys: c.add})
		if len(muts) > 0 {
			p.add(key{}, rfc7047.Mutate("Bridge", rfc7047.ByUUID(b), muts...).About(c.key.String()))
		}
	}
	if len(p.ops) == 0 {
		return
	}
	where := rfc7047.ByUUID(p.v.root)
	if p.v.root == "" {
		where = nil
		p.add(key{}, rfc7047.Insert("Open_vSwitch", "", rfc7047.Cell{Column: "bridges", Value: rfc7047.Value{Keys: p.root.add}}))
		p.root.add = nil
	}
	muts := append(setDiff("bridges", rfc7047.Value{Keys: p.root.drop}, rfc7047.Value{Keys: p.root.add}),
		rfc7047.Mutation{Column: "next_cfg", Op: "+=", Value: rfc7047.Int(1)})
	p.add(key{}, rfc7047.Mutate("Open_vSwitch", where, muts...))
	p.add(key{}, rfc7047.Select("Open_vSwitch", where, "next_cfg"))
	p.add(key{}, rfc7047.Comment(fmt.Sprintf("netbraid %s: %d added, %d changed, %d removed", p.v.id, p.counts.added, p.counts.changed, p.counts.removed)))
}
