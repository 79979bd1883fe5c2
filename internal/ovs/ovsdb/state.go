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

// states says how every wanted switch is. It is pure.
func states(v *view, want []model.Switch, p *plan, l liveness, held func(key) string) []model.SwitchState {
	list := make([]model.SwitchState, 0, len(want))
	for i := range want {
		if w := &want[i]; i == 0 || want[i-1].Name != w.Name {
			list = append(list, switchState(v, w, p, l, held))
		}
	}
	for name, why := range p.kept {
		list = append(list, model.SwitchState{Name: name, Err: why})
	}
	slices.SortFunc(list, func(a, b model.SwitchState) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func switchState(v *view, w *model.Switch, p *plan, l liveness, held func(key) string) model.SwitchState {
	k := key{sw: w.Name}
	s := model.SwitchState{Name: w.Name, Err: cmp.Or(p.problems[k].err, held(k), l.err)}
	there := v.bridges[w.Name] != ""
	if local := v.Table("Interface")[v.ifaces[w.Name]]; there && s.Err == "" && l.proven(local) {
		if n, _ := local.Int("ofport"); n == localPort {
			s.There = true
		} else {
			s.Err = notMade(v, w, local)
		}
	}
	for i := range w.Ports {
		s.Ports = append(s.Ports, portState(v, w, &w.Ports[i], p, l, held, s.There))
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

func portState(v *view, w *model.Switch, port *model.SwitchPort, p *plan, l liveness, held func(key) string, there bool) model.SwitchPortState {
	k := key{w.Name, port.Name}
	pr := p.problems[k]
	s := model.SwitchPortState{Name: port.Name, Err: cmp.Or(pr.err, held(k)), Foreign: pr.foreign}
	u := v.ports[port.Name]
	if u == "" || v.bridgeOf[u] != v.bridges[w.Name] || !there {
		return s
	}
	var errs []string
	for _, name := range members(port) {
		row := v.Table("Interface")[v.ifaces[name]]
		if row == nil || v.portOf[v.ifaces[name]] != u || !l.proven(row) {
			continue
		}
		number, err := number(row)
		if len(port.Members) > 0 && err != "" {
			err = name + ": " + err
		}
		if err == "" && port.Number != 0 && number != port.Number {
			err = "the port number asked for is taken"
		}
		if err != "" {
			errs = append(errs, err)
		}
		if number != 0 && (s.Number == 0 || number < s.Number) {
			s.Number = number
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
		return uint32(n), err
	}
	return 0, cmp.Or(err, "ovs-vswitchd has not added it: its log says why")
}

// sameState tells whether two states say the same.
func sameState(a, b *model.SwitchState) bool {
	return a.Name == b.Name && a.There == b.There && a.Err == b.Err && slices.Equal(a.Ports, b.Ports)
}
