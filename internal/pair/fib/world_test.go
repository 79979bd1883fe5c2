package fib

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// kernel is a namespace whose kernel is the test.
type kernel struct {
	w     *world
	ns    model.NS
	eng   *mirror.Engine
	epoch uint32
	asked []mirror.Request
}

// sink hands on what the mirror tells.
type sink struct{ w *world }

func (s sink) LinkChanged(ns model.NS, old, new *rtnl.Link) {
	if old != nil && (new == nil || (old.Flags^new.Flags)&unix.IFF_UP != 0) {
		delete(s.w.dead4, [2]uint32{uint32(ns), old.Index})
	}
	s.w.tab.LinkChanged(ns, old, new)
}

func (s sink) AddrChanged(ns model.NS, old, new *rtnl.Addr) {
	if a := cmp.Or(new, old); a.Family == unix.AF_INET && (old == nil || new == nil) {
		eng := s.w.kernels[ns].eng
		l := eng.Link(a.Index)
		left := slices.ContainsFunc(eng.AddrsOn(a.Index), func(a rtnl.Addr) bool { return a.Family == unix.AF_INET })
		if k := [2]uint32{uint32(ns), a.Index}; left {
			delete(s.w.dead4, k)
		} else if l != nil && l.Flags&unix.IFF_UP != 0 {
			s.w.dead4[k] = true
		}
	}
	s.w.tab.AddrChanged(ns, old, new)
}

func (s sink) NeighChanged(model.NS, *rtnl.Neigh, *rtnl.Neigh)       {}
func (s sink) NexthopChanged(ns model.NS, o, n *rtnl.Nexthop)        { s.w.tab.NexthopChanged(ns, o, n) }
func (s sink) NetconfChanged(model.NS, *rtnl.Netconf, *rtnl.Netconf) {}
func (s sink) RuleChanged(model.NS, *rtnl.Rule, *rtnl.Rule)          {}
func (s sink) RouteChanged(k model.RouteKey)                         { s.w.tab.RouteChanged(k) }
func (s sink) SyncBegin(model.NS, rtnl.Kind)                         {}
func (s sink) SyncEnd(model.NS, rtnl.Kind)                           {}

// world is some namespaces, a Table and a dataplane.
type world struct {
	t       testing.TB
	now     time.Time
	kernels []*kernel // nil: that one is gone
	tab     *Table
	plane   plane

	phys       map[[2]uint32]uint32 // namespace, ifindex
	tables     map[[2]uint32]uint32
	notables   map[[2]uint32]bool
	connected  map[netip.Prefix]uint32 // link
	ignoreDown bool
	unsettled  bool
	skip       []uint8            // protocols
	dead4      map[[2]uint32]bool // links that have lost their last IPv4 address
}

func (w *world) Mirror(ns model.NS) *mirror.Engine {
	if int(ns) < len(w.kernels) && w.kernels[ns] != nil {
		return w.kernels[ns].eng
	}
	return nil
}
func (w *world) Phy(ns model.NS, i uint32) (uint32, bool) {
	x, ok := w.phys[[2]uint32{uint32(ns), i}]
	return x, ok
}
func (w *world) Table(ns model.NS, table uint32) (uint32, bool) {
	k := [2]uint32{uint32(ns), table}
	if fib, ok := w.tables[k]; ok || w.notables[k] {
		return fib, ok
	}
	if table == unix.RT_TABLE_MAIN {
		table = dataplane.MainTable
	}
	return table, true
}
func (w *world) Connected(_ model.NS, i uint32, p netip.Prefix) bool {
	return w.connected[p] == i && i != 0
}
func (w *world) IgnoresLinkdown(model.NS, uint32, uint8) bool { return w.ignoreDown }
func (w *world) Settled() bool                                { return !w.unsettled }

// newWorld has n namespaces, with links 1 (lo), 2, 3, 4 (paired with 102, 103,
// 104) and 5 (not paired), up; a namespace adds 1000 to the dataplane's.
func newWorld(t testing.TB, n int) *world {
	w := &world{t: t, now: time.Unix(1000, 0), phys: map[[2]uint32]uint32{}, tables: map[[2]uint32]uint32{},
		notables: map[[2]uint32]bool{}, connected: map[netip.Prefix]uint32{}, dead4: map[[2]uint32]bool{}}
	w.plane.routes = map[dataplane.RouteKey]*dataplane.PathSet{}
	w.plane.tables = map[dataplane.Table]bool{}
	w.plane.caps = dataplane.Caps{MPLS: true, MaxPaths: 64}
	w.tab = New(Options{Host: w, Seed: 7})
	for range n {
		w.addKernel()
	}
	return w
}

func (w *world) addKernel() *kernel {
	k := &kernel{w: w, ns: model.NS(len(w.kernels))}
	w.kernels = append(w.kernels, k)
	k.eng = mirror.New(k.ns, mirror.Params{}, sink{w})
	k.eng.Start(w.now)
	k.requests()
	k.eng.Subscribed(k.epoch)
	k.requests()
	w.tab.AddNS(k.ns)
	k.dump(rtnl.KindLink, nil)
	for i := uint32(1); i <= 5; i++ {
		k.link(i, true, true)
		if i > 1 && i < 5 {
			w.phys[[2]uint32{uint32(k.ns), i}] = 100 + i + 1000*uint32(k.ns)
		}
	}
	return k
}

func (k *kernel) requests() {
	for _, r := range k.eng.Requests() {
		if r.Subscribe {
			k.epoch = r.Epoch
		} else {
			k.asked = append(k.asked, r)
		}
	}
}

// dump answers the dumps of a kind that have been asked for (0: of all).
func (k *kernel) dump(kind rtnl.Kind, objects [][]byte) {
	asked := k.asked
	k.asked = nil
	for _, d := range asked {
		if kind != 0 && d.Dump != kind {
			k.asked = append(k.asked, d)
			continue
		}
		for _, o := range objects {
			k.eng.Dumped(d.Epoch, o)
		}
		k.eng.DumpDone(k.w.now, d.Epoch, d.Dump, true, false)
	}
	k.work()
}

func (k *kernel) work() {
	for k.eng.Busy() {
		k.w.now = k.w.now.Add(time.Millisecond)
		k.eng.Tick(k.w.now)
	}
	k.requests()
}

// live answers every dump with what the mirror has.
func (k *kernel) live() {
	for i := 0; len(k.asked) > 0 && i < 20; i++ {
		r := k.asked[0]
		k.dump(r.Dump, k.objects(r.Dump))
	}
}

// objects are the messages of what the mirror has of a kind.
func (k *kernel) objects(kind rtnl.Kind) (out [][]byte) {
	switch kind {
	case rtnl.KindLink:
		k.eng.Each(func(l *rtnl.Link) { out = append(out, rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, l)) }, nil, nil, nil)
	case rtnl.KindAddr:
		k.eng.Each(nil, func(a *rtnl.Addr) { out = append(out, rtnl.AppendAddr(nil, unix.RTM_NEWADDR, 0, 0, a)) }, nil, nil)
	case rtnl.KindRoute:
		k.eng.Each(nil, nil, func(r *rtnl.Route) { out = append(out, rtnl.AppendRoute(nil, unix.RTM_NEWROUTE, 0, 0, r)) }, nil)
	case rtnl.KindNexthop:
		k.eng.EachNexthop(func(n *rtnl.Nexthop) { out = append(out, rtnl.AppendNexthop(nil, unix.RTM_NEWNEXTHOP, 0, 0, n)) })
	}
	return out
}

func (k *kernel) notify(b []byte) {
	k.eng.Notified(k.w.now, k.epoch, b)
	k.requests()
}

func (k *kernel) link(i uint32, up, carrier bool) {
	l := rtnl.Link{Index: i, Name: fmt.Sprint("l", i), ParentNSID: -1, Carrier: up && carrier}
	if i == 1 {
		l.Flags |= unix.IFF_LOOPBACK
	}
	if up {
		l.Flags |= unix.IFF_UP
		if carrier {
			l.Flags |= unix.IFF_RUNNING | unix.IFF_LOWER_UP
		}
	}
	k.notify(rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &l))
}

func (k *kernel) addr(typ uint16, i uint32, p string) {
	pre := netip.MustParsePrefix(p)
	a := rtnl.Addr{Index: i, Family: unix.AF_INET, PrefixLen: uint8(pre.Bits()), Local: pre.Addr(), Valid: rtnl.LifetimeForever, Preferred: rtnl.LifetimeForever}
	if pre.Addr().Is6() {
		a.Family = unix.AF_INET6
	}
	k.notify(rtnl.AppendAddr(nil, typ, 0, 0, &a))
}

func (k *kernel) nexthop(typ uint16, n rtnl.Nexthop) {
	if n.Family == 0 {
		n.Family = unix.AF_INET
	}
	k.notify(rtnl.AppendNexthop(nil, typ, 0, 0, &n))
}

func (k *kernel) route(typ, flags uint16, r rtnl.Route) {
	k.notify(rtnl.AppendRoute(nil, typ, flags, 0, &r))
}

// R makes a route from words as `ip route` has them: a destination, then via,
// dev, metric, table, proto, type, tos, src-from, nhid, as, push, nexthop
// gw/dev/weight.
func R(t testing.TB, line string) rtnl.Route {
	t.Helper()
	f := strings.Fields(line)
	r := rtnl.Route{Type: unix.RTN_UNICAST, Protocol: unix.RTPROT_STATIC, Table: unix.RT_TABLE_MAIN}
	num := func(s string) uint32 {
		var n uint32
		if _, err := fmt.Sscan(s, &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return n
	}
	labels := func(s string) (out []uint32) {
		for x := range strings.SplitSeq(s, "/") {
			out = append(out, num(x))
		}
		return out
	}
	if label, ok := strings.CutPrefix(f[0], "mpls:"); ok {
		r.Family, r.Label = unix.AF_MPLS, num(label)
	} else {
		r.Dst = netip.MustParsePrefix(f[0])
		if r.Family = unix.AF_INET; r.Dst.Addr().Is6() {
			r.Family = unix.AF_INET6
		}
	}
	var hops []rtnl.Hop
	for f = f[1:]; len(f) > 1; f = f[2:] {
		switch v := f[1]; f[0] {
		case "via":
			r.Gateway = netip.MustParseAddr(v)
		case "dev":
			r.Oif = num(v)
		case "metric":
			r.Priority = num(v)
		case "table":
			r.Table = num(v)
		case "proto":
			r.Protocol = uint8(num(v))
		case "type":
			r.Type = map[string]uint8{"blackhole": unix.RTN_BLACKHOLE, "unreachable": unix.RTN_UNREACHABLE, "prohibit": unix.RTN_PROHIBIT,
				"throw": unix.RTN_THROW, "local": unix.RTN_LOCAL, "broadcast": unix.RTN_BROADCAST, "anycast": unix.RTN_ANYCAST, "multicast": unix.RTN_MULTICAST}[v]
		case "tos":
			r.TOS = uint8(num(v))
		case "from":
			r.Src = netip.MustParsePrefix(v)
		case "pref":
			r.Pref = uint8(num(v))
		case "nhid":
			r.NHID = num(v)
		case "as":
			r.Encap = rtnl.LabelStack(labels(v)...)
		case "push":
			r.Encap = rtnl.MPLSEncap(labels(v)...)
		case "hop":
			x := strings.Split(v, ",") // gateway or -, link, weight
			h := rtnl.Hop{Oif: num(x[1]), Weight: uint8(num(x[2]) - 1)}
			if x[0] != "-" {
				h.Gateway = netip.MustParseAddr(x[0])
			}
			hops = append(hops, h)
		default:
			t.Fatalf("%q: %s", line, f[0])
		}
	}
	r.Multipath = rtnl.AppendHops(hops)
	return r
}

func (k *kernel) add(line string)     { k.route(unix.RTM_NEWROUTE, 0, R(k.w.t, line)) }
func (k *kernel) replace(line string) { k.route(unix.RTM_NEWROUTE, unix.NLM_F_REPLACE, R(k.w.t, line)) }
func (k *kernel) append(line string)  { k.route(unix.RTM_NEWROUTE, unix.NLM_F_APPEND, R(k.w.t, line)) }
func (k *kernel) del(line string)     { k.route(unix.RTM_DELROUTE, 0, R(k.w.t, line)) }

// plane is a plain dataplane: what it has been told, in maps.
type plane struct {
	routes map[dataplane.RouteKey]*dataplane.PathSet
	tables map[dataplane.Table]bool
	caps   dataplane.Caps
	flying [][]dataplane.Op
	max    int // operations of a batch
	log    []string
	ops    int
	refuse func(op *dataplane.Op) error
}

func opText(op *dataplane.Op) string {
	switch op.Kind {
	case dataplane.RouteSet:
		return "set " + keyText(op.Route) + " " + setText(op.Paths)
	case dataplane.RouteDel:
		return "del " + keyText(op.Route)
	}
	return fmt.Sprintf("%v %d/%d", op.Kind, op.Value, op.Family)
}

func keyText(k dataplane.RouteKey) string {
	s := k.Prefix.String()
	if k.MPLS() {
		s = fmt.Sprintf("mpls:%d/%v", k.Label, k.EOS)
	}
	if k.Table != 0 {
		s += fmt.Sprintf("@%d", k.Table)
	}
	return s
}

func setText(s *dataplane.PathSet) string {
	if s.Kind != dataplane.Unicast {
		return [...]string{"", "blackhole", "unreachable", "prohibit"}[s.Kind]
	}
	var out []string
	for _, p := range s.Paths {
		x := fmt.Sprint(p.Index)
		if p.Index == dataplane.NoIndex {
			x = fmt.Sprint("table", p.Table)
		}
		if p.Via.IsValid() {
			x = p.Via.String() + "," + x
		}
		if p.Weight != 1 {
			x += fmt.Sprint("*", p.Weight)
		}
		for _, l := range p.Labels.L[:p.Labels.N] {
			x += fmt.Sprint("+", l)
		}
		out = append(out, x)
	}
	return strings.Join(out, " ")
}

// do does an operation.
func (w *world) do(op *dataplane.Op) error {
	p := &w.plane
	p.ops++
	p.log = append(p.log, opText(op))
	if p.refuse != nil {
		if err := p.refuse(op); err != nil {
			return err
		}
	}
	vrf := dataplane.Table{ID: op.Value, Family: op.Family}
	switch op.Kind {
	case dataplane.TableAdd:
		p.tables[vrf] = true
	case dataplane.TableDel:
		for k := range p.routes {
			if f := familyOf(k); k.Table == vrf.ID && f == vrf.Family {
				w.t.Errorf("table %d is removed and has %s", vrf.ID, keyText(k))
			}
		}
		if !p.tables[vrf] {
			w.t.Errorf("table %d is removed and is not there", vrf.ID)
		}
		delete(p.tables, vrf)
	case dataplane.RouteSet:
		if f := familyOf(op.Route); op.Route.Table != 0 && !p.tables[dataplane.Table{ID: op.Route.Table, Family: f}] {
			return errors.New("no such table")
		} else if f != op.Family {
			w.t.Errorf("%s is of family %d", opText(op), op.Family)
		}
		p.routes[op.Route] = op.Paths
	case dataplane.RouteDel:
		delete(p.routes, op.Route)
	}
	return nil
}

func familyOf(k dataplane.RouteKey) uint8 {
	switch {
	case k.MPLS():
		return unix.AF_MPLS
	case k.Prefix.Addr().Is4():
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// send takes one batch from the table; it is answered by answer.
func (w *world) send() bool {
	ops := w.tab.Next(w.now, nil, max(w.plane.max, 4))
	if len(ops) == 0 {
		return false
	}
	seen := map[string]bool{}
	for _, b := range append(slices.Clone(w.plane.flying), ops) {
		for i := range b {
			k := fmt.Sprint(b[i].Family, b[i].Value, b[i].Route)
			if seen[k] {
				w.t.Fatalf("two operations on %s are in flight", opText(&b[i]))
			}
			seen[k] = true
		}
	}
	w.plane.flying = append(w.plane.flying, ops)
	return true
}

// answer does the first batch in flight and tells how that went.
func (w *world) answer() bool {
	if len(w.plane.flying) == 0 {
		return false
	}
	ops := w.plane.flying[0]
	w.plane.flying = w.plane.flying[1:]
	var failed []dataplane.Failed
	for i := range ops {
		if err := w.do(&ops[i]); err != nil {
			failed = append(failed, dataplane.Failed{Op: i, Err: err})
		}
	}
	w.tab.Done(w.now, ops, failed)
	return true
}

// dumpTables and dumpRoutes tell the table what the dataplane has; every n-th
// route is left out when the dump is not complete.
func (w *world) dump(complete bool) {
	if !w.tab.Drained() {
		w.t.Fatal("a dump is not possible now")
	}
	var tabs []dataplane.Table
	for v := range w.plane.tables {
		tabs = append(tabs, v)
	}
	w.tab.DumpedTables(tabs)
	n := 0
	for _, k := range sortedKeys(w.plane.routes) {
		if n++; complete || n%3 > 0 {
			s := w.plane.routes[k]
			w.tab.Dumped([]dataplane.Route{{Key: k, Paths: &dataplane.PathSet{Kind: s.Kind, Paths: slices.Clone(s.Paths)}}})
		}
	}
	w.tab.DumpDone(w.now, complete)
}

func sortedKeys(m map[dataplane.RouteKey]*dataplane.PathSet) []dataplane.RouteKey {
	var keys []dataplane.RouteKey
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, dataplane.RouteKey.Compare)
	return keys
}

// connect makes a connection, with a dump, and goes on to rest.
func (w *world) connect() {
	w.tab.Connected(w.now, w.plane.caps)
	w.dump(true)
	w.rest()
}

// lose loses the connection with what is in flight.
func (w *world) lose() {
	w.plane.flying = nil
	w.tab.Lost()
}

// rest lets everything happen that happens without waiting.
func (w *world) rest() {
	w.t.Helper()
	for _, k := range w.kernels {
		if k != nil {
			k.live()
		}
	}
	for i := 0; ; i++ {
		if err := w.tab.Check(); err != nil {
			w.t.Fatal(err)
		}
		more := w.tab.Work(w.now, 100)
		if sent := w.send(); !w.answer() && !sent && !more {
			break
		}
		if i > 1_000_000 {
			w.t.Fatal("it does not come to rest")
		}
	}
	if err := w.tab.Check(); err != nil {
		w.t.Fatal(err)
	}
}

// has holds what the dataplane has; each line a route.
func (w *world) has(want ...string) {
	w.t.Helper()
	w.rest()
	var got []string
	for _, k := range sortedKeys(w.plane.routes) {
		got = append(got, keyText(k)+" "+setText(w.plane.routes[k]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.t.Errorf("the dataplane has\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// told holds the operations since the last call.
func (w *world) told(want ...string) {
	w.t.Helper()
	w.rest()
	got := w.plane.log
	w.plane.log = nil
	if !slices.Equal(got, want) {
		w.t.Errorf("the dataplane was told\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func keyOf(r rtnl.Route) model.RouteKey { return model.KeyOfRoute(0, &r) }
