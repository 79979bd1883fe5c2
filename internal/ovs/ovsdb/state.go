package ovsdb

import (
	"cmp"
	"slices"
	"strings"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// localPort is the number of the port that every bridge has (OFPP_LOCAL).
const localPort = 65534

// liveness is what is known of ovs-vswitchd.
type liveness struct {
	// err says that it does not answer; empty while it does, or may still.
	err string
	// proven tells whether what an interface's row says is what ovs-vswitchd that
	// runs now has made of it: port numbers and errors outlive it in the database.
	proven func(iface rfc7047.Row) bool
}

// fact is what ovs-vswitchd has made of an interface.
type fact struct {
	number uint32 // 0: none
	err    string
}

// facts are those that were proven last, by interface. They hold until there are
// newer ones: ovs-vswitchd is about to look at the database, or is away.
type facts map[string]fact

// teller says how switches are.
type teller struct {
	v    *view
	p    *plan
	l    liveness
	held func(key) string
	old  facts
	now  facts
}

// states says how every wanted switch is, and what is to be remembered of it for
// the next time. It is pure.
func states(v *view, want []model.Switch, p *plan, l liveness, held func(key) string, old facts) ([]model.SwitchState, facts) {
	t := teller{v, p, l, held, old, facts{}}
	list := make([]model.SwitchState, 0, len(want))
	for i := range want {
		if w := &want[i]; i == 0 || want[i-1].Name != w.Name {
			list = append(list, t.switchState(w))
		}
	}
	for name, why := range p.kept {
		list = append(list, model.SwitchState{Name: name, Err: why})
	}
	slices.SortFunc(list, func(a, b model.SwitchState) int { return cmp.Compare(a.Name, b.Name) })
	return list, t.now
}

// fact gives what is known of an interface; row is nil while there is none.
// read is asked for what the row says when that can be believed.
func (t *teller) fact(name string, row rfc7047.Row, read func() fact) fact {
	f, known := t.old[name]
	if row != nil && t.l.proven(row) {
		f, known = read(), true
	}
	if known {
		t.now[name] = f
	}
	return f
}

func (t *teller) switchState(w *model.Switch) model.SwitchState {
	k := key{sw: w.Name}
	s := model.SwitchState{Name: w.Name, Err: cmp.Or(t.p.problems[k].err, t.held(k), t.l.err)}
	if t.v.bridges[w.Name] != "" {
		local := t.v.Table("Interface")[t.v.ifaces[w.Name]]
		f := t.fact(w.Name, local, func() fact {
			if n, _ := local.Int("ofport"); n == localPort {
				return fact{number: localPort}
			}
			return fact{err: notMade(t.v, w, local)}
		})
		if s.Err == "" {
			s.There, s.Err = f.number == localPort, f.err
		}
	}
	for i := range w.Ports {
		s.Ports = append(s.Ports, t.portState(w, &w.Ports[i], s.There))
	}
	slices.SortStableFunc(s.Ports, func(a, b model.SwitchPortState) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

// notMade says why ovs-vswitchd has not made a bridge. It writes that into its
// log only, but what it knows into the database.
func notMade(v *view, w *model.Switch, local rfc7047.Row) string {
	if err := local.Text("error"); err != "" {
		return err
	}
	b := v.bridges[w.Name]
	have := cmp.Or(v.get("Bridge", b, "datapath_type").Text(), system)
	known := v.Table("Open_vSwitch")[v.root]["datapath_types"]
	if len(known.Keys) > 0 && !known.Has(rfc7047.Atom{Kind: rfc7047.String, Str: have}) {
		return "ovs-vswitchd knows no datapath_type " + have + ", only " + known.Text()
	}
	return "ovs-vswitchd has not made this bridge: its log says why (datapath_type " + have + ")"
}

func (t *teller) portState(w *model.Switch, port *model.SwitchPort, there bool) model.SwitchPortState {
	k := key{w.Name, port.Name}
	pr := t.p.problems[k]
	s := model.SwitchPortState{Name: port.Name, Err: cmp.Or(pr.err, t.held(k)), Foreign: pr.foreign}
	u := t.v.ports[port.Name]
	on := u != "" && t.v.bridgeOf[u] == t.v.bridges[w.Name]
	var errs []string
	for _, name := range members(port) {
		row := t.v.Table("Interface")[t.v.ifaces[name]]
		if !on || !there || t.v.portOf[t.v.ifaces[name]] != u {
			row = nil
		}
		f := t.fact(name, row, func() fact {
			n, err := number(row)
			if err == "" && port.Number != 0 && n != port.Number {
				err = "the port number asked for is taken"
			}
			return fact{n, err}
		})
		err := f.err
		if len(port.Members) > 0 && err != "" {
			err = name + ": " + err
		}
		if err != "" {
			errs = append(errs, err)
		}
		if on && f.number != 0 && (s.Number == 0 || f.number < s.Number) {
			s.Number = f.number
		}
	}
	s.Err = cmp.Or(s.Err, strings.Join(errs, "; "))
	return s
}

// number is the port number of an interface, and what ovs-vswitchd says is
// wrong with it.
func number(row rfc7047.Row) (uint32, string) {
	n, _ := row.Int("ofport")
	err := row.Text("error")
	if n > 0 && n <= localPort {
		// Of a device that goes ovs-vswitchd keeps the number, and says nothing.
		if index, ok := row.Int("ifindex"); ok && index == 0 && err == "" && (row.Text("type") == "" || row.Text("type") == system) {
			err = "its device has gone; it is used again when it comes back"
		}
		return uint32(n), err
	}
	return 0, cmp.Or(err, "ovs-vswitchd has not added it: its log says why")
}

// sameState tells whether two states say the same.
func sameState(a, b *model.SwitchState) bool {
	return a.Name == b.Name && a.There == b.There && a.Err == b.Err && slices.Equal(a.Ports, b.Ports)
}
