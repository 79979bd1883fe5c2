package plan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// board is a Have that a test writes down.
type board struct {
	links  []rtnl.Link
	addrs  []rtnl.Addr
	routes []rtnl.Route
}

func (b *board) Live(rtnl.Kind) bool { return true }
func (b *board) Link(i uint32) *rtnl.Link {
	for k := range b.links {
		if b.links[k].Index == i {
			return &b.links[k]
		}
	}
	return nil
}
func (b *board) LinkByName(n string) *rtnl.Link {
	for k := range b.links {
		if b.links[k].Name == n {
			return &b.links[k]
		}
	}
	return nil
}
func (b *board) MaxIndex() uint32 { return 100 }
func (b *board) Addr(k model.AddrKey) *rtnl.Addr {
	for i := range b.addrs {
		if model.KeyOfAddr(0, &b.addrs[i]) == k {
			return &b.addrs[i]
		}
	}
	return nil
}
func (b *board) AddrsOn(i uint32) (out []rtnl.Addr) {
	for _, a := range b.addrs {
		if a.Index == i {
			out = append(out, a)
		}
	}
	return out
}
func (b *board) HasLocal(ip netip.Addr) bool {
	for _, a := range b.addrs {
		if a.Local == ip {
			return true
		}
	}
	return false
}
func (b *board) Routes(k model.RouteKey) (out []rtnl.Route) {
	for i := range b.routes {
		if model.KeyOfRoute(0, &b.routes[i]) == k {
			out = append(out, b.routes[i])
		}
	}
	return out
}
func (b *board) RoutesOn(uint32) []rtnl.Route         { return nil }
func (b *board) Rule(*rtnl.Rule) bool                 { return false }
func (b *board) Neigh(uint32, netip.Addr) *rtnl.Neigh { return nil }

func addr(i uint32, cidr string) rtnl.Addr {
	p := netip.MustParsePrefix(cidr)
	return rtnl.Addr{Index: i, Family: unix.AF_INET, PrefixLen: uint8(p.Bits()), Local: p.Addr(),
		Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
}

func names(ops []*Op) string {
	var s []string
	for _, o := range ops {
		s = append(s, o.Kind.String()+" "+o.Device)
	}
	return strings.Join(s, ", ")
}

var t0 = time.Unix(1000, 0)

// TestOrder: what others build on comes first, what is obsolete goes after its
// successor is there, links go last.
func TestOrder(t *testing.T) {
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", Flags: unix.IFF_UP}, {Index: 9, Name: "old", Kind: "bridge"}},
		addrs: []rtnl.Addr{addr(2, "10.9.0.1/24")}}
	own := NewOwned()
	own.Links[9] = &OwnedLink{Index: 9, Name: "old", Created: true, Kind: "bridge", Sysctl: map[string]string{}}
	a := addr(2, "10.9.0.1/24")
	own.Addrs[model.KeyOfAddr(0, &a)] = a
	p := New(0, b, own, 1)
	p.Release()
	p.SetLink("br0", &LinkWant{Name: "br0", Create: true, Link: rtnl.Link{Kind: "bridge", Flags: unix.IFF_UP}, Set: rtnl.LinkUp})
	p.SetLink("v.1", &LinkWant{Name: "v.1", Create: true, Parent: "eth0", Depth: 1, Set: rtnl.LinkUp | rtnl.LinkParent, Link: rtnl.Link{Kind: "vlan", Flags: unix.IFF_UP}})
	route := rtnl.Route{Family: unix.AF_INET, Dst: netip.MustParsePrefix("10.5.0.0/16"), Gateway: netip.MustParseAddr("10.0.0.9"), Oif: 2, Table: 254, Type: unix.RTN_UNICAST}
	p.SetObjects("x", &Objects{Addrs: []rtnl.Addr{addr(2, "10.0.0.1/24")}, Routes: []rtnl.Route{route}})
	got := names(p.Plan(t0))
	want := "create link br0, create link v.1, add address eth0, add route eth0, delete address eth0, delete link old"
	if got != want {
		t.Errorf("order:\n%s\nwant:\n%s", got, want)
	}
	if again := p.Plan(t0); len(again) != 0 {
		t.Errorf("operations twice in flight: %s", names(again))
	}
}

// TestRecordsComeBeforeWrites: what a step will make is recorded in it.
func TestRecordsComeBeforeWrites(t *testing.T) {
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", MTU: 1500}}}
	p := New(0, b, NewOwned(), 1)
	p.SetLink("eth0", &LinkWant{Name: "eth0", Set: rtnl.LinkMTU, Link: rtnl.Link{MTU: 1400}})
	p.SetObjects("x", &Objects{Addrs: []rtnl.Addr{addr(2, "10.0.0.1/24")}})
	ops := p.Plan(t0)
	o := NewOwned()
	for _, r := range p.Records() {
		o.Apply(r)
	}
	if len(ops) != 2 || len(o.Addrs) != 1 || o.Links[2] == nil || o.Links[2].Orig.MTU != 1500 || o.Links[2].Set != rtnl.LinkMTU {
		t.Errorf("%s; recorded %+v", names(ops), o)
	}
	// Both fail: nothing is ours, and the next attempt waits.
	for _, op := range ops {
		p.Settle(t0, Result{ID: op.ID, Err: unix.EINVAL})
	}
	if ops := p.Plan(t0); len(ops) != 0 {
		t.Errorf("tried again at once: %s", names(ops))
	}
	if len(p.Owned().Addrs) != 0 {
		t.Error("an address that could not be set is recorded as ours")
	}
	if at := p.Deadline(); at.Sub(t0) < retryFirst*3/4 || at.Sub(t0) > retryFirst*5/4 {
		t.Errorf("next attempt after %s", at.Sub(t0))
	}
	if f := p.Failures("x"); len(f) != 1 || f[0].Code != "WRITE_FAILED" {
		t.Errorf("failures: %v", f)
	}
}

// TestHold: until the first configuration has settled nothing is removed.
func TestHold(t *testing.T) {
	a := addr(2, "10.0.0.1/24")
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0"}}, addrs: []rtnl.Addr{a}}
	own := NewOwned()
	own.Addrs[model.KeyOfAddr(0, &a)] = a
	p := New(0, b, own, 1)
	if ops := p.Plan(t0); len(ops) != 0 {
		t.Fatalf("before: %s", names(ops))
	}
	p.Release()
	if got := names(p.Plan(t0)); got != "delete address eth0" {
		t.Fatalf("after: %s", got)
	}
}

// TestPortGoesToOpenVSwitch: a port of a bridge that is none any more, and has
// become one of Open vSwitch, is not taken out of that: only Open vSwitch can.
func TestPortGoesToOpenVSwitch(t *testing.T) {
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", Master: 3}, {Index: 3, Name: "br0", Kind: "bridge"}, {Index: 4, Name: "ovs0", Kind: "openvswitch"}}}
	own := NewOwned()
	own.Links[2] = &OwnedLink{Index: 2, Name: "eth0", Set: rtnl.LinkMaster | rtnl.LinkMTU, Orig: rtnl.Link{MTU: 1500}}
	b.links[0].MTU = 1400
	p := New(0, b, own, 1)
	p.Release()
	ops := p.Plan(t0)
	if len(ops) != 1 || ops[0].Link.Set != rtnl.LinkMaster|rtnl.LinkMTU || ops[0].Link.Master != 0 {
		t.Fatalf("it is not put back: %s", names(ops))
	}
	b.links[0].Master, b.links[0].MTU = 4, 1500 // Open vSwitch was faster than our next look
	p.Settle(t0, Result{ID: ops[0].ID})
	if ops := p.Plan(t0); len(ops) != 0 || len(p.Owned().Links) != 0 || !p.Idle() {
		t.Errorf("after that: %s; ours is %+v", names(ops), p.Owned().Links)
	}
	left := NewOwned()
	left.Links[2] = &OwnedLink{Index: 2, Name: "eth0", Set: rtnl.LinkMaster | rtnl.LinkMTU, Orig: rtnl.Link{MTU: 1500}}
	for _, r := range p.Records() {
		left.Apply(r)
	}
	if len(left.Links) != 0 {
		t.Errorf("written down is %+v", left.Links)
	}
}

// TestKeptOtherwise: a write that the kernel acknowledges and does not keep is
// not repeated.
func TestKeptOtherwise(t *testing.T) {
	b := &board{links: []rtnl.Link{{Index: 2, Name: "br0", Kind: "bridge", Bridge: rtnl.Bridge{QueryInterval: 100}}}}
	p := New(0, b, NewOwned(), 1)
	p.SetLink("br0", &LinkWant{Name: "br0", Owner: "device br0", Set: rtnl.BridgeQueryInterval, Link: rtnl.Link{Kind: "bridge", Bridge: rtnl.Bridge{QueryInterval: 50}}})
	ops := p.Plan(t0)
	if len(ops) != 1 {
		t.Fatalf("%s", names(ops))
	}
	p.Settle(t0, Result{ID: ops[0].ID})
	for range 5 {
		if ops := p.Plan(t0.Add(10 * time.Second)); len(ops) != 0 {
			t.Fatalf("written again: %s", names(ops))
		}
	}
	if f := p.Failures("device br0"); len(f) != 1 || f[0].Code != "NOT_KEPT" {
		t.Errorf("failures: %v", f)
	}
}

// TestOldAddressStaysWhileTheNewOneIsRefused: an address that cannot be set
// does not cost the one that works.
func TestOldAddressStaysWhileTheNewOneIsRefused(t *testing.T) {
	old, next := addr(2, "10.0.0.1/24"), addr(2, "10.1.0.1/24")
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", Flags: unix.IFF_UP}}, addrs: []rtnl.Addr{old}}
	own := NewOwned()
	own.Addrs[model.KeyOfAddr(0, &old)] = old
	p := New(0, b, own, 1)
	p.Release()
	p.SetObjects("x", &Objects{Addrs: []rtnl.Addr{next}})
	now := t0
	ops := p.Plan(now)
	if names(ops) != "add address eth0, delete address eth0" {
		t.Fatal(names(ops))
	}
	p.Settle(now, Result{ID: ops[0].ID, Err: unix.EINVAL})
	p.Settle(now, Result{ID: ops[1].ID, Err: ErrPredecessor})
	retry := func() *Op {
		for range 5 { // what waits for its successor is looked at in between
			now = p.Deadline().Add(time.Millisecond)
			if ops := p.Plan(now); len(ops) > 0 {
				if names(ops) != "add address eth0" {
					t.Fatalf("while the new one is refused: %s", names(ops))
				}
				return ops[0]
			}
		}
		t.Fatal("the new one is not tried again")
		return nil
	}
	for range 5 {
		p.Settle(now, Result{ID: retry().ID, Err: unix.EINVAL})
	}
	last := retry()
	b.addrs = append(b.addrs, next)
	p.AddrSeen(nil, &next)
	p.Settle(now, Result{ID: last.ID})
	now = now.Add(time.Minute)
	if got := names(p.Plan(now)); got != "delete address eth0" {
		t.Fatalf("when the new one is there: %q", got)
	}
}

func TestStagesAndBlocked(t *testing.T) {
	add := &Op{Kind: AddrAdd, Device: "eth0", rank: rankAddrAdd}
	del := &Op{Kind: AddrDel, Device: "eth0", rank: rankAddrDel}
	other := &Op{Kind: AddrDel, Device: "eth1", rank: rankAddrDel}
	if s := Stages([]*Op{add, del, other}); len(s) != 2 || len(s[0]) != 1 {
		t.Errorf("stages: %v", s)
	}
	if !Blocked(del, []*Op{add}) || Blocked(other, []*Op{add}) || Blocked(del, nil) {
		t.Error("an address goes exactly when its successor has come")
	}
	if !Gone(del, unix.EADDRNOTAVAIL) || Gone(del, unix.EPERM) || Gone(add, unix.EADDRNOTAVAIL) {
		t.Error("Gone")
	}
	if f := failureOf(&Op{Kind: LinkCreate, Link: &rtnl.LinkRequest{Link: rtnl.Link{Kind: "vlan"}}}, unix.EOPNOTSUPP); f.Code != "NOT_SUPPORTED" || !strings.Contains(f.Message, "vlan") {
		t.Errorf("%+v", f)
	}
	if f := failureOf(&Op{Kind: RuleDel, Rule: &rtnl.Rule{}}, errors.New("x")); f.Code != "WRITE_FAILED" {
		t.Errorf("%+v", f)
	}
}
