package api

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/ubus"
)

var ovsMethods = []ubus.Method{
	method("status", arg("name", ubus.TypeString)),
	method("add_port", arg("bridge", ubus.TypeString), arg("port", ubus.TypeString), arg("port_type", ubus.TypeString), arg("number", ubus.TypeInt32),
		arg("tag", ubus.TypeInt32), arg("trunks", ubus.TypeArray), arg("vlan_mode", ubus.TypeString), arg("options", ubus.TypeArray)),
	method("del_port", arg("bridge", ubus.TypeString), arg("port", ubus.TypeString)),
}

// ovsTable serves the object netbraid.ovs.
func (s *Server) ovsTable() map[string]handler {
	return map[string]handler{"status": s.ovsStatus, "add_port": s.ovsAddPort, "del_port": s.ovsDelPort}
}

// ovsStatus answers how each bridge of Open vSwitch is, or the one of a name.
// The counters of ports are read on a goroutine of the request.
func (s *Server) ovsStatus(r *ubus.Request) {
	name, one := r.Args().String("name")
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		bridges := c.Switches()
		if one {
			bridges = slices.DeleteFunc(bridges, func(sw core.Switch) bool { return sw.Want.Name != name })
		}
		switch links := portLinks(c, bridges); {
		case one && len(bridges) == 0:
			r.Done(ubus.StatusNotFound)
		case len(links) == 0:
			s.replySwitches(r, bridges, nil)
		case !s.reader.admit():
			s.log.Warn("call refused: too many readings of devices under way", "method", "netbraid.ovs status")
			r.Done(ubus.StatusUnknownError)
		default:
			go func() {
				defer s.reader.release()
				stats, err := s.reader.counters(links)
				if err != nil {
					s.log.Error("cannot read counters of ports", "error", err)
				}
				s.replySwitches(r, bridges, stats)
			}()
		}
	})
}

// portLinks gives the links of ports that are in their bridge, by name.
func portLinks(c *core.Core, bridges []core.Switch) map[string]uint32 {
	links := map[string]uint32{}
	for i := range bridges {
		for _, p := range bridges[i].State.Ports {
			if l := c.Mirror().LinkByName(p.Name); l != nil && p.Number != 0 {
				links[p.Name] = l.Index
			}
		}
	}
	return links
}

func (s *Server) replySwitches(r *ubus.Request, bridges []core.Switch, stats map[string]*Stats) {
	out := ubus.Array{}
	for i := range bridges {
		out = append(out, bridgeStatus(&bridges[i], stats))
	}
	s.reply(r, ubus.Table{{Name: "bridges", Value: out}})
}

// bridgeStatus is a bridge with its ports; stats are those of ports by name.
func bridgeStatus(sw *core.Switch, stats map[string]*Stats) ubus.Table {
	ports := ubus.Array{}
	for i := range sw.Want.Ports {
		p := &sw.Want.Ports[i]
		t := append(ubus.Table{{Name: "name", Value: p.Name}}, switchPort(p, sw)...)
		if st := stats[p.Name]; st != nil {
			t = append(t, ubus.Field{Name: "statistics", Value: st.fields()})
		}
		ports = append(ports, t)
	}
	return append(append(ubus.Table{{Name: "name", Value: sw.Want.Name}}, switchHead(sw)...), ubus.Field{Name: "ports", Value: ports})
}

// switchFields is how a bridge shows in network.device status.
func switchFields(sw *core.Switch) ubus.Table {
	members, ports := ubus.Array{}, ubus.Table{}
	for i := range sw.Want.Ports {
		p := &sw.Want.Ports[i]
		members = append(members, p.Name)
		ports = append(ports, ubus.Field{Name: p.Name, Value: switchPort(p, sw)})
	}
	return ubus.Table{{Name: "bridge-members", Value: members}, {Name: "openvswitch", Value: append(switchHead(sw), ubus.Field{Name: "ports", Value: ports})}}
}

// switchHead is a bridge without its ports.
func switchHead(sw *core.Switch) ubus.Table {
	w := &sw.Want
	t := ubus.Table{{Name: "backend", Value: cmp.Or(sw.State.Backend, w.Backend)}, {Name: "there", Value: sw.Known && sw.State.There}}
	text := func(name, v string) {
		if v != "" {
			t = append(t, ubus.Field{Name: name, Value: v})
		}
	}
	text("error", sw.State.Err)
	text("datapath_type", w.DatapathType)
	text("fail_mode", w.FailMode)
	if len(w.Controllers) > 0 {
		t = append(t, ubus.Field{Name: "controller", Value: stringArray(w.Controllers)})
	}
	if w.STP {
		t = append(t, ubus.Field{Name: "stp", Value: true})
	}
	if w.RSTP {
		t = append(t, ubus.Field{Name: "rstp", Value: true})
	}
	if w.Ageing > 0 {
		t = append(t, ubus.Field{Name: "ageing_time", Value: int32(w.Ageing)})
	}
	return t
}

// switchPort is how a port is wanted and how it is. Number 0: it has none yet.
func switchPort(p *model.SwitchPort, sw *core.Switch) ubus.Table {
	st := model.SwitchPortState{}
	if i, ok := slices.BinarySearchFunc(sw.State.Ports, p.Name, func(x model.SwitchPortState, n string) int { return cmp.Compare(x.Name, n) }); ok {
		st = sw.State.Ports[i]
	}
	t := ubus.Table{{Name: "port_type", Value: cmp.Or(p.Type, "netdev")}, {Name: "number", Value: int64(st.Number)}}
	add := func(on bool, name string, v any) {
		if on {
			t = append(t, ubus.Field{Name: name, Value: v})
		}
	}
	trunks, options := vlanRanges(p.Trunks), ubus.Table{}
	for _, o := range p.Options {
		options = append(options, ubus.Field{Name: o.Key, Value: o.Value})
	}
	add(p.Tag > 0, "tag", int32(p.Tag))
	add(len(trunks) > 0, "trunks", trunks)
	add(p.VLANMode != "", "vlan_mode", p.VLANMode)
	add(len(options) > 0, "options", options)
	add(len(p.Members) > 0, "ports", stringArray(p.Members))
	add(p.BondMode != "", "bond_mode", p.BondMode)
	add(p.LACP != "", "lacp", p.LACP)
	add(st.Err != "", "error", st.Err)
	add(st.Foreign, "foreign", true)
	return t
}

// vlanRanges writes VLANs as the configuration does: 10, 20-29. A port may have
// 4,094.
func vlanRanges(vlans []uint16) ubus.Array {
	out := ubus.Array{}
	for i := 0; i < len(vlans); {
		j := i
		for j+1 < len(vlans) && vlans[j+1] == vlans[j]+1 {
			j++
		}
		text := strconv.Itoa(int(vlans[i]))
		if j > i {
			text += "-" + strconv.Itoa(int(vlans[j]))
		}
		out = append(out, text)
		i = j + 1
	}
	return out
}

// ovsAddPort adds a port to a bridge. What is wrong with it is answered in
// full, as by netbraid reload; the status is OK then too.
func (s *Server) ovsAddPort(r *ubus.Request) {
	name, ok := r.Args().String("port")
	options, good := optionsOf(r.Args(), "port", session)
	if !ok || !good {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		bridge, port, problems := config.ParsePort(name, options, c.Config(), config.RunTime)
		if port == nil {
			s.answerProblems(r, problems)
			return
		}
		s.command(&core.AddSwitchPort{Bridge: bridge, Port: *port}, func(st core.Status) {
			switch st {
			case core.OK:
				s.answerProblems(r, problems)
			case core.InvalidArgument: // what only the devices as they are now tell
				s.answerProblems(r, []config.Problem{{Pos: config.Pos{File: config.RunTime}, Section: "port " + name, Severity: config.Error,
					Reason: "it cannot be a port of " + bridge + ", which it is built on, or which it is part of"}})
			default:
				r.Done(ubus.Status(st))
			}
		})
	})
}

// ovsDelPort takes a port off a bridge that was added at run time.
func (s *Server) ovsDelPort(r *ubus.Request) {
	bridge, _ := r.Args().String("bridge")
	name, _ := r.Args().String("port")
	s.onLoop(r, func(*core.Core, time.Time) { s.finish(r, &core.DelSwitchPort{Bridge: bridge, Port: name}) })
}

// answerProblems answers what is wrong in full, warnings too.
func (s *Server) answerProblems(r *ubus.Request, problems []config.Problem) {
	list, more := problemList(problems)
	s.reply(r, ubus.Table{{Name: "ok", Value: !config.HasErrors(problems)}, {Name: "problems", Value: list}, {Name: "more", Value: int32(more)}})
}

// problemList is a list of problems, and how many more there are.
func problemList(problems []config.Problem) (list ubus.Array, more int) {
	list, more = ubus.Array{}, max(0, len(problems)-maxListed)
	for _, p := range problems[:len(problems)-more] {
		list = append(list, ProblemTable(p))
	}
	return list, more
}
