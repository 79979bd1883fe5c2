package pair

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// Status tells how everything stands.
func (e *Engine) Status(now time.Time) Status {
	c := &e.conn
	s := Status{Name: e.o.Name, State: c.state.String(), Err: c.err, Since: c.since, Lost: c.lost, Caps: c.caps, InFlight: c.flying,
		Pending: len(e.ops) + e.dirty.len() + e.addrs.len() + e.neighs.len() + e.locals.len(), FIB: e.fib.Status()}
	for _, b := range c.batches {
		s.Lag = max(s.Lag, now.Sub(b.at))
	}
	if c.state == waiting {
		s.RetryIn = max(c.retryAt.Sub(now), 0)
	}
	if c.state == connected && (!e.ready() || !c.have[dataplane.KindRoute]) {
		s.State = "reading"
	}
	failed := map[*unit][]key{} // nil: those that belong to no pair
	for _, k := range e.ledger.shown(now) {
		u := e.concerned(k)
		failed[u] = append(failed[u], k)
	}
	for _, id := range sortedKeys(e.units, unitID.compare) {
		u := e.units[id]
		s.Pairs = append(s.Pairs, e.pairStatus(now, u, failed[u]))
	}
	s.Errors = e.ledger.errors(now, failed[nil])
	return s
}

func (e *Engine) pairStatus(now time.Time, u *unit, failed []key) PairStatus {
	s := PairStatus{Phy: e.phyName(u), Sub: u.id.sub, PhyIndex: u.phy, HostIndex: u.host, Host: u.agreed}
	if sp := e.specOf(u); sp != nil {
		s.NetNS = sp.NetNS
		if u.spec != nil {
			s.Name, s.TUN = sp.Name, sp.TUN
			if s.Host == "" {
				s.Host = sp.Host
			}
		}
	}
	if u.child() {
		s.Parent = u.id.phy
	}
	if l := e.link(u.ns, u.host); l != nil {
		s.Host = l.Name
	}
	s.Errors = e.ledger.errors(now, failed)
	if u.active {
		s.Attrs = e.attrs(u)
	}
	s.State = e.stateOf(u, s.Attrs)
	if s.State == "waiting for phy" {
		s.Reason = e.noPhy(s.Phy)
	}
	if u.problem != "" && s.State == "error" {
		s.Errors = append(s.Errors, Error{Object: "pair of " + s.Phy, Message: u.problem})
	}
	return s
}

// physShown bounds the interfaces that are named when one is not there.
const physShown = 8

// noPhy says what the dataplane has in place of an interface.
func (e *Engine) noPhy(name string) string {
	var have []string
	more := 0
	for _, i := range sortedKeys(e.dp.byName, strings.Compare) {
		switch x := e.dp.named(i); {
		case x.Companion || e.byPhy[x.Index] != nil && e.byPhy[x.Index].spec != nil:
		case len(have) < physShown:
			have = append(have, i)
		default:
			more++
		}
	}
	why := "the dataplane has no interface " + name
	switch {
	case more > 0:
		why += fmt.Sprintf("; those without a pair are %s and %d more", strings.Join(have, ", "), more)
	case len(have) > 0:
		why += "; those without a pair are " + strings.Join(have, ", ")
	}
	return why
}

// concerned is the pair that a key is about; nil for none.
func (e *Engine) concerned(k key) *unit {
	switch i := e.dp.ifaces[k.index]; {
	case k.side != dataplaneSide:
		return e.byHost[linkID{nsOf(k), k.index}]
	case k.class == ofLocal:
		return nil
	case k.class == ofSub && i != nil:
		return e.units[unitID{i.Name, k.sub}]
	case k.class == ofSub:
		return nil
	}
	return e.byPhy[k.index]
}

func (e *Engine) stateOf(u *unit, attrs []Attr) string {
	switch {
	case e.conn.state != connected:
		return "not connected"
	case u.removing:
		return "removing"
	case strings.HasPrefix(u.problem, "waiting"):
		return u.problem
	case u.active && !e.nsLive(u.ns):
		return "waiting for namespace" // what is known of it may not be so any more
	case u.problem != "":
		return "error"
	case !u.active && u.phy != dataplane.NoIndex && e.ledger.failed[dpKey(ofPair, u.phy)] != nil:
		return "error"
	case !u.active:
		return "creating"
	}
	for _, a := range attrs {
		if !a.InStep {
			return "syncing"
		}
	}
	return "up"
}

// attrs are the attributes of a pair that is kept in step, as people read them.
func (e *Engine) attrs(u *unit) []Attr {
	l, i := e.link(u.ns, u.host), e.dp.ifaces[u.phy]
	if l == nil || i == nil {
		return nil
	}
	wantUp, wantMTU := e.linuxWant(u)
	up := l.Flags&unix.IFF_UP != 0
	out := []Attr{
		{Name: "carrier", Owner: "dataplane", Dataplane: onOff(i.Carrier), Linux: onOff(l.Carrier), InStep: !up || i.Carrier == l.Carrier},
		{Name: "admin", Owner: "linux", Dataplane: upDown(i.Up), Linux: upDown(up), InStep: up == wantUp && (i.Up == up || e.parentDown(u))},
		{Name: "mtu", Owner: "linux", Dataplane: utoa(i.MTU), Linux: utoa(l.MTU), InStep: l.MTU == wantMTU && i.MTU == l.MTU},
	}
	if !u.child() && l.Addr.Len == 6 && i.MAC.Len == 6 {
		out = append(out, Attr{Name: "mac", Owner: "linux", Dataplane: i.MAC.String(), Linux: l.Addr.String(), InStep: i.MAC == l.Addr})
	}
	table, _ := e.tableOf(u, l)
	out = append(out, Attr{Name: "table", Owner: "linux", Dataplane: utoa(i.Table4), Linux: utoa(table), InStep: e.bound(u, l, i)})
	if e.conn.caps.MPLS {
		out = append(out, e.mplsAttr(u, i))
	}
	if e.conn.caps.Multicast {
		out = append(out, Attr{Name: "multicast", Owner: "linux", Dataplane: onOff(i.Multicast), Linux: onOff(true), InStep: i.Multicast})
	}
	return append(out, e.addrAttr(u), e.neighAttr(u, i))
}

func (e *Engine) parentDown(u *unit) bool {
	p := e.parentLink(u)
	return p != nil && p.Flags&unix.IFF_UP == 0
}

func (e *Engine) addrAttr(u *unit) Attr {
	var linux, dp []string
	same := true
	for _, p := range sortedKeys(u.lx, comparePrefixes) {
		linux = append(linux, p.String())
		same = same && (e.dp.addrs[u.phy][p] || u.lx[p].n <= 0)
	}
	for _, p := range sortedKeys(e.dp.addrs[u.phy], comparePrefixes) {
		dp = append(dp, p.String())
		if _, ok := u.lx[p]; !ok && !linkLocal(p) {
			same = false
		}
	}
	return Attr{Name: "addresses", Owner: "linux", Dataplane: strings.Join(dp, " "), Linux: strings.Join(linux, " "), InStep: same}
}

// neighAttr counts the neighbours that the dataplane is to know from Linux, and
// those of them that it does.
func (e *Engine) neighAttr(u *unit, i *dataplane.Interface) Attr {
	want, have := 0, 0
	m := e.mirror(u.ns)
	for a := range e.byLink[linkID{u.ns, u.host}] {
		if n, ok := e.wantNeigh(u.phy, m.Neigh(u.host, a)); ok && i.Type == dataplane.Ethernet {
			want++
			if e.dp.neighs[u.phy][a] == n {
				have++
			}
		}
	}
	return Attr{Name: "neighbours", Owner: "linux", Dataplane: strconv.Itoa(have), Linux: strconv.Itoa(want), InStep: want == have}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func upDown(b bool) string {
	if b {
		return "up"
	}
	return "down"
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// Check tells which invariant does not hold; it looks at everything and is for
// tests.
func (e *Engine) Check() error {
	for _, check := range []func() error{e.checkUnits, e.checkFlights, e.checkView, e.checkAddrs, e.fib.Check} {
		if err := check(); err != nil {
			return fmt.Errorf("pair %s: %w", e.o.Name, err)
		}
	}
	return nil
}

func (e *Engine) checkUnits() error {
	for id, u := range e.units {
		switch {
		case u.id != id:
			return fmt.Errorf("unit %v is listed as %v", u.id, id)
		case u.phy != dataplane.NoIndex && e.byPhy[u.phy] != u:
			return fmt.Errorf("unit %v has phy %d, which is another's", id, u.phy)
		case u.host != 0 && e.byHost[linkID{u.ns, u.host}] != u:
			return fmt.Errorf("unit %v has host %d, which is another's", id, u.host)
		case u.active && (u.phy == dataplane.NoIndex || u.host == 0):
			return fmt.Errorf("unit %v is active without phy or companion", id)
		case u.active && e.conn.state == connected && e.conn.have[dataplane.KindInterface] && e.dp.ifaces[u.phy] == nil:
			return fmt.Errorf("unit %v is active on interface %d, which is gone", id, u.phy)
		}
		if m := e.made[id]; (m.Pair != u.made.Pair || m.Iface != u.made.Iface) && u.made.Pair {
			return fmt.Errorf("unit %v: what was made is not remembered: %+v, %+v", id, u.made, m)
		}
		if p, ok := id.parent(); ok && !e.below[p][id] {
			return fmt.Errorf("unit %v is not listed below %v", id, p)
		}
	}
	for index, u := range e.byPhy {
		if u.phy != index || e.units[u.id] != u {
			return fmt.Errorf("interface %d leads to unit %v, which has %d", index, u.id, u.phy)
		}
	}
	for at, u := range e.byHost {
		if u.host != at.index || u.ns != at.ns || e.units[u.id] != u {
			return fmt.Errorf("link %v leads to unit %v, which has %d", at, u.id, u.host)
		}
	}
	return nil
}

func (e *Engine) checkFlights() error {
	c := &e.conn
	n := len(e.ops)
	for id, b := range c.batches {
		n += len(b.keys)
		if len(b.keys) > dataplane.MaxBatch {
			return fmt.Errorf("batch %d has %d operations", id, len(b.keys))
		}
		for _, k := range b.keys {
			if !e.ledger.busy(k) {
				return fmt.Errorf("batch %d: %+v is not noted as in flight", id, k)
			}
		}
	}
	flying, writing := 0, 0
	for k := range e.ledger.flying {
		if k.side == dataplaneSide {
			flying++
		} else {
			writing++
		}
	}
	switch {
	case len(c.batches) > maxBatches:
		return fmt.Errorf("%d batches are in flight", len(c.batches))
	case flying != n || c.flying != n:
		return fmt.Errorf("%d operations are noted as in flight, %d are, %d counted", flying, n, c.flying)
	case writing != len(e.writing):
		return fmt.Errorf("%d operations for Linux are noted as in flight, %d are", writing, len(e.writing))
	case c.state != connected && n > 0:
		return fmt.Errorf("%d operations are in flight without a connection", n)
	}
	return nil
}

func (e *Engine) checkView() error {
	for i := range e.dp.pairs {
		if e.conn.have[dataplane.KindInterface] && e.dp.ifaces[i] == nil {
			return fmt.Errorf("a pair is known of interface %d, which is gone", i)
		}
	}
	for i := range e.dp.addrs {
		if len(e.dp.addrs[i]) > 0 && e.dp.ifaces[i] == nil {
			return fmt.Errorf("addresses are known of interface %d, which is gone", i)
		}
	}
	return nil
}

// checkAddrs holds what is kept of addresses against the mirrors.
func (e *Engine) checkAddrs() error {
	own := map[netip.Addr]int{}
	for _, ns := range e.nss {
		if m := e.mirror(ns); m != nil {
			m.Each(nil, func(a *rtnl.Addr) { eachLocal(a, func(ip netip.Addr) { own[ip]++ }) }, nil, nil)
		}
	}
	if len(own) != len(e.own) {
		return fmt.Errorf("%d addresses of our own are noted, %d are there", len(e.own), len(own))
	}
	for ip, n := range own {
		if e.own[ip] != n {
			return fmt.Errorf("%s is noted as our own %d times, it is %d", ip, e.own[ip], n)
		}
	}
	for id, u := range e.units {
		if !u.active || !e.uses(u.ns) {
			continue
		}
		fresh := unit{lx: map[netip.Prefix]lxAddr{}}
		for _, a := range e.mirror(u.ns).AddrsOn(u.host) {
			fresh.count(&a, 1)
		}
		for p, x := range fresh.lx {
			if y := u.lx[p]; x.n != y.n || x.held != y.held {
				return fmt.Errorf("unit %v: address %s is noted %d/%d times, it is there %d/%d", id, p, y.n, y.held, x.n, x.held)
			}
		}
		if len(fresh.lx) != len(u.lx) {
			return fmt.Errorf("unit %v: %d addresses are noted, %d are there", id, len(u.lx), len(fresh.lx))
		}
	}
	return nil
}
