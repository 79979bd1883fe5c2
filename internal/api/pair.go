package api

import (
	"slices"
	"strconv"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
	"netbraid/internal/pair/fib"
	"netbraid/ubus"
)

var pairMethods = []ubus.Method{
	method("list"),
	method("status", arg("dataplane", ubus.TypeString), arg("pair", ubus.TypeString)),
	method("add", arg("name", ubus.TypeString), arg("dataplane", ubus.TypeString), arg("phy", ubus.TypeString), arg("host", ubus.TypeString),
		arg("netns", ubus.TypeString), arg("sync", ubus.TypeBool), arg("auto_subif", ubus.TypeBool), arg("mpls", ubus.TypeBool), arg("tun", ubus.TypeBool), arg("queues", ubus.TypeInt32)),
	method("del", arg("name", ubus.TypeString)),
}

// pairTable serves the object netbraid.pair.
func (s *Server) pairTable() map[string]handler {
	return map[string]handler{"list": s.pairList, "status": s.pairStatus, "add": s.pairAdd, "del": s.pairDel}
}

// pairList answers which pairs are wanted.
func (s *Server) pairList(r *ubus.Request) {
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		out, all := ubus.Array{}, c.WantedPairs()
		added := c.AddedPairs()
		for _, p := range all[:min(len(all), maxPairsListed)] {
			out = append(out, pairWanted(p, added[p.Name]))
		}
		s.reply(r, ubus.Table{{Name: "pairs", Value: out}, {Name: "more", Value: int64(max(0, len(all)-maxPairsListed))}})
	})
}

// pairWanted is a pair as configured or added.
func pairWanted(p *config.Pair, added bool) ubus.Table {
	t := ubus.Table{{Name: "name", Value: p.Name}, {Name: "dataplane", Value: p.Dataplane}, {Name: "phy", Value: p.Phy}, {Name: "host", Value: p.Host},
		{Name: "netns", Value: p.NetNS}, {Name: "sync", Value: p.Sync}, {Name: "auto_subif", Value: p.AutoSubif}, {Name: "tun", Value: p.TUN},
		{Name: "queues", Value: int32(p.Queues)}, {Name: "added", Value: added}}
	if p.MPLS || p.NoMPLS {
		t = append(t, ubus.Field{Name: "mpls", Value: p.MPLS})
	}
	return t
}

// maxPairsListed bounds the pairs of a dataplane in one answer, and
// maxPairsFull those that have their attributes in it: one message has to hold
// them.
const (
	maxPairsListed = 3000
	maxPairsFull   = 200
	// maxLeft bounds the interfaces of what is left behind on a dataplane.
	maxLeft = 100
)

// pairStatus answers how each dataplane and its pairs stand, or the one of a
// name; of the pairs those of a name.
func (s *Server) pairStatus(r *ubus.Request) {
	name, one := r.Args().String("dataplane")
	which, _ := r.Args().String("pair")
	s.onLoop(r, func(c *core.Core, now time.Time) {
		out := ubus.Array{}
		for _, p := range c.Planes() {
			if !one || p.Config.Name == name {
				st := p.Pairs.Status(now)
				st.Pairs = pairsNamed(st.Pairs, which)
				explain(c, st.Pairs)
				t := planeStatus(p.Config, st, now)
				if p.Leaving() {
					t = append(t, ubus.Field{Name: "leaving", Value: true})
				}
				out = append(out, t)
			}
		}
		left := leftBehind(c.LeftBehind(), name, which)
		if one && len(out)+len(left) == 0 {
			r.Done(ubus.StatusNotFound)
			return
		}
		s.reply(r, ubus.Table{{Name: "dataplanes", Value: out}, {Name: "left-behind", Value: left}})
	})
}

// leftBehind is what was made on dataplanes that are not configured any more:
// all of it, of the dataplane of a name, or what has an interface of a name.
func leftBehind(list []core.Left, plane, phy string) ubus.Array {
	out := ubus.Array{}
	for _, l := range list {
		if plane != "" && l.Dataplane != plane || phy != "" && !slices.Contains(l.Pairs, phy) {
			continue
		}
		n := min(len(l.Pairs), maxLeft)
		out = append(out, ubus.Table{{Name: "dataplane", Value: l.Dataplane}, {Name: "type", Value: l.Type}, {Name: "place", Value: l.Place},
			{Name: "interfaces", Value: stringArray(l.Pairs[:n])}, {Name: "more", Value: int64(len(l.Pairs) - n)}, {Name: "reason", Value: l.Reason}})
	}
	return out
}

// explain says why companions' namespaces are waited for.
func explain(c *core.Core, list []pair.PairStatus) {
	why := map[string]string{}
	for _, sp := range c.Spaces() {
		why[sp.Path] = c.Unopened(sp.NS)
	}
	for i := range list {
		if p := &list[i]; p.State == "waiting for namespace" {
			p.Reason = why[p.NetNS]
		}
	}
}

// pairsNamed gives the pairs whose name, interface or companion has a name; all
// for none.
func pairsNamed(list []pair.PairStatus, name string) []pair.PairStatus {
	if name == "" {
		return list
	}
	return slices.DeleteFunc(slices.Clone(list), func(p pair.PairStatus) bool { return p.Name != name && p.Phy != name && p.Host != name })
}

// planeStatus is how a dataplane stands, with its pairs and its FIB.
func planeStatus(cfg *config.Dataplane, st pair.Status, now time.Time) ubus.Table {
	t := ubus.Table{{Name: "name", Value: cfg.Name}, {Name: "type", Value: cfg.Type}}
	if cfg.Type == config.VPP {
		t = append(t, ubus.Field{Name: "socket", Value: cfg.Socket})
	} else {
		t = append(t, ubus.Field{Name: "netns", Value: cfg.NetNS})
	}
	t = append(t, ubus.Field{Name: "state", Value: st.State})
	add := func(on bool, name string, v any) {
		if on {
			t = append(t, ubus.Field{Name: name, Value: v})
		}
	}
	add(st.Err != "", "error", st.Err)
	add(st.RetryIn > 0, "retry-in-ms", ms(st.RetryIn))
	add(!st.Lost.IsZero(), "disconnected", int64(now.Sub(st.Lost)/time.Second))
	add(!st.Since.IsZero(), "since", int64(now.Sub(st.Since)/time.Second))
	add(st.Caps.Version != "", "version", st.Caps.Version)
	add(len(st.Caps.Missing) > 0, "missing", stringArray(st.Caps.Missing))
	pairs := ubus.Array{}
	for i := range st.Pairs[:min(len(st.Pairs), maxPairsListed)] {
		pairs = append(pairs, onePair(&st.Pairs[i], len(st.Pairs) <= maxPairsFull))
	}
	return append(t, ubus.Table{
		{Name: "pending", Value: int64(st.Pending)},
		{Name: "in-flight", Value: int64(st.InFlight)},
		{Name: "lag-ms", Value: ms(st.Lag)},
		{Name: "errors", Value: pairErrors(st.Errors)},
		{Name: "pairs", Value: pairs},
		{Name: "more", Value: int64(max(0, len(st.Pairs)-maxPairsListed))},
		{Name: "fib", Value: fibStatus(&st.FIB, now)},
	}...)
}

// onePair is how a pair stands; full: attribute by attribute.
func onePair(p *pair.PairStatus, full bool) ubus.Table {
	t := ubus.Table{{Name: "name", Value: p.Name}, {Name: "phy", Value: p.Phy}, {Name: "host", Value: p.Host}, {Name: "netns", Value: p.NetNS}, {Name: "state", Value: p.State}}
	add := func(on bool, name string, v any) {
		if on {
			t = append(t, ubus.Field{Name: name, Value: v})
		}
	}
	add(p.Reason != "", "reason", p.Reason)
	add(p.Parent != "", "parent", p.Parent)
	add(p.Sub.Outer != 0, "vlan", vlanText(p.Sub))
	add(p.PhyIndex != dataplane.NoIndex, "phy-index", int64(p.PhyIndex))
	add(p.HostIndex != 0, "host-index", int64(p.HostIndex))
	add(p.TUN, "tun", true)
	if !full {
		return append(t, ubus.Field{Name: "errors", Value: pairErrors(p.Errors)})
	}
	attrs := ubus.Table{}
	for _, a := range p.Attrs {
		attrs = append(attrs, ubus.Field{Name: a.Name, Value: ubus.Table{{Name: "owner", Value: a.Owner}, {Name: "dataplane", Value: a.Dataplane},
			{Name: "linux", Value: a.Linux}, {Name: "in-step", Value: a.InStep}}})
	}
	return append(t, ubus.Field{Name: "attributes", Value: attrs}, ubus.Field{Name: "errors", Value: pairErrors(p.Errors)})
}

// vlanText writes the tags of a sub-interface: 100, 100.200, 802.1ad 100.200.
func vlanText(s dataplane.Sub) string {
	text := strconv.Itoa(int(s.Outer))
	if s.Inner != 0 {
		text += "." + strconv.Itoa(int(s.Inner))
	}
	if s.OuterAD {
		text = "802.1ad " + text
	}
	return text
}

// maxPairErrors bounds the errors of one pair in an answer.
const maxPairErrors = 20

func pairErrors(list []pair.Error) ubus.Array {
	out := ubus.Array{}
	for _, e := range list[:min(len(list), maxPairErrors)] {
		t := ubus.Table{{Name: "object", Value: e.Object}, {Name: "message", Value: e.Message}, {Name: "attempts", Value: int32(e.Attempts)}}
		if e.RetryIn > 0 {
			t = append(t, ubus.Field{Name: "retry-in-ms", Value: ms(e.RetryIn)})
		}
		out = append(out, t)
	}
	return out
}

// fibStatus is how the routes of a dataplane stand.
func fibStatus(st *fib.Status, now time.Time) ubus.Table {
	skipped := ubus.Array{}
	for _, s := range st.Skipped {
		skipped = append(skipped, ubus.Table{{Name: "ns", Value: int64(s.NS)}, {Name: "reason", Value: s.Reason}, {Name: "routes", Value: int64(s.Routes)}})
	}
	failed := ubus.Array{}
	for _, f := range st.Failures {
		t := ubus.Table{{Name: "route", Value: routeText(f.Key)}, {Name: "table", Value: int64(f.Key.Table)}, {Name: "message", Value: f.Err}, {Name: "attempts", Value: int32(f.Tries)}}
		if !f.Retry.IsZero() {
			t = append(t, ubus.Field{Name: "retry-in-ms", Value: ms(max(f.Retry.Sub(now), 1))})
		}
		failed = append(failed, t)
	}
	n := func(name string, v int) ubus.Field { return ubus.Field{Name: name, Value: int64(v)} }
	return ubus.Table{
		{Name: "phase", Value: st.Phase},
		n("routes", st.Routes), n("have", st.Have), n("differences", st.Differences), n("tables", st.Tables), n("path-sets", st.PathSets), n("bytes", st.Bytes),
		n("queued", st.Queued), n("in-flight", st.InFlight), n("waiting", st.Waiting), n("unsupported", st.Unsupported), n("unclaimed", st.Unclaimed), n("taken", st.Taken),
		{Name: "walking", Value: st.Walking},
		{Name: "skipped", Value: skipped},
		{Name: "failed", Value: failed},
	}
}

// routeText writes the key of a route: a prefix, or a label of MPLS.
func routeText(k dataplane.RouteKey) string {
	if !k.MPLS() {
		return k.Prefix.String()
	}
	text := "label " + strconv.Itoa(int(k.Label))
	if !k.EOS {
		text += " (not the last)"
	}
	return text
}

// pairAdd adds a pair. What is wrong with it is answered in full, as by
// netbraid reload; the status is OK then too.
func (s *Server) pairAdd(r *ubus.Request) {
	name, _ := r.Args().String("name")
	options, good := optionsOf(r.Args(), "name", session)
	if !good {
		r.Done(ubus.StatusInvalidArgument)
		return
	}
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		p, problems := config.ParsePair(name, options, c.Paired(), config.RunTime, config.Options{})
		if p == nil || config.HasErrors(problems) {
			s.answerProblems(r, problems)
			return
		}
		s.command(&core.AddPair{Pair: p}, func(st core.Status) {
			if st != core.OK {
				problems = []config.Problem{notAdded(p, st)}
			}
			s.answerProblems(r, problems)
		})
	})
}

// notAdded says why the core has not taken a pair that nothing is wrong with.
func notAdded(p *config.Pair, st core.Status) config.Problem {
	pr := config.Problem{Pos: p.Pos, Severity: config.Error, Section: "pair " + p.Name}
	switch st {
	case core.NotFound:
		pr.Reason = "dataplane " + p.Dataplane + " is not in use yet: what was made on it under another name is being taken apart; try again in a moment"
	case core.UnknownError:
		pr.Reason = "too many pairs have been added at run time: put some of them into the configuration"
	default:
		pr.Reason = "there is a pair of this name by now (netbraid pair list)"
	}
	return pr
}

// pairDel takes a pair apart that was added at run time.
func (s *Server) pairDel(r *ubus.Request) {
	name, _ := r.Args().String("name")
	s.onLoop(r, func(*core.Core, time.Time) { s.finish(r, &core.DelPair{Name: name}) })
}
