package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)

// stream is one notification of each kind, a link that gets and loses a name,
// and what is none of ours.
func stream() (b []byte) {
	eth0 := rtnl.Link{Index: 3, Name: "eth0", Flags: unix.IFF_UP, MTU: 1500, Carrier: true, ParentNSID: -1, Master: 9, Kind: "veth"}
	b = rtnl.AppendLinkInfo(b, unix.RTM_NEWLINK, 0, 0, &rtnl.Link{Index: 9, Name: "br0", ParentNSID: -1})
	b = rtnl.AppendLinkInfo(b, unix.RTM_NEWLINK, 0, 0, &eth0)
	b = rtnl.AppendDone(b, 0, 0)
	b = rtnl.AppendAddr(b, unix.RTM_NEWADDR, 0, 0, &rtnl.Addr{Index: 3, Family: unix.AF_INET, PrefixLen: 24, Flags: unix.IFA_F_PERMANENT,
		Local: netip.MustParseAddr("192.0.2.1"), Valid: rtnl.LifetimeForever, Preferred: rtnl.LifetimeForever})
	b = rtnl.AppendNeigh(b, unix.RTM_NEWNEIGH, 0, 0, &rtnl.Neigh{Index: 3, Family: unix.AF_INET, State: unix.NUD_REACHABLE,
		Dst: netip.MustParseAddr("192.0.2.9"), LLAddr: rtnl.MAC([6]byte{2, 0, 0, 0, 0, 9})})
	b = rtnl.AppendRoute(b, unix.RTM_DELROUTE, 0, 0, &rtnl.Route{Family: unix.AF_INET, Type: unix.RTN_UNICAST, Table: 254, Protocol: 4,
		Oif: 3, Priority: 7, Dst: netip.MustParsePrefix("198.51.100.0/24"), Gateway: netip.MustParseAddr("192.0.2.2")})
	b = rtnl.AppendRule(b, unix.RTM_NEWRULE, 0, 0, &rtnl.Rule{Family: unix.AF_INET6, Action: unix.FR_ACT_TO_TBL, Table: 100, Priority: 77,
		SuppressPL: -1, SuppressIG: -1, IifName: "eth0", Src: netip.MustParsePrefix("2001:db8::/32")})
	b = rtnl.AppendNexthop(b, unix.RTM_NEWNEXTHOP, 0, 0, &rtnl.Nexthop{ID: 5, Family: unix.AF_INET, Oif: 3, Protocol: 4, Gateway: netip.MustParseAddr("192.0.2.2")})
	b = rtnl.AppendLinkInfo(b, unix.RTM_DELLINK, 0, 0, &rtnl.Link{Index: 3, Name: "eth0", Family: unix.AF_BRIDGE, ParentNSID: -1})
	b = rtnl.AppendLinkInfo(b, unix.RTM_DELLINK, 0, 0, &eth0)
	b = rtnl.AppendNetconf(b, unix.RTM_NEWNETCONF, 0, 0, &rtnl.Netconf{Family: unix.AF_MPLS, Index: 3, Known: rtnl.NetconfInput, Input: 1})
	b = rtnl.AppendNetconf(b, unix.RTM_NEWNETCONF, 0, 0, &rtnl.Netconf{Family: unix.AF_INET, Index: rtnl.NetconfAll, Known: rtnl.NetconfForwarding | rtnl.NetconfRPFilter, RPFilter: 2})
	b = rtnl.AppendNeigh(b, unix.RTM_DELNEIGH, 0, 0, &rtnl.Neigh{Index: 3, Family: unix.AF_INET, Dst: netip.MustParseAddr("192.0.2.9")})
	return append(b, 20, 0, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4)
}

// printed is what a printer makes of items.
func printed(t testing.TB, o Options, items ...item) string {
	t.Helper()
	var out strings.Builder
	o.Out = &out
	p := newPrinter(o)
	f := newFeed(DefaultQueue, o.weigh)
	for _, x := range items {
		if x.lost == nowhere {
			f.put(x.at, x.batch)
		} else {
			f.lose(x.at, x.lost, x.count)
		}
	}
	f.end()
	p.readAt = at.Add(time.Hour) // no names of the machine's links
	if err := p.run(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func sameLines(t *testing.T, got, want string) {
	t.Helper()
	if d := cmp.Diff(strings.Split(strings.TrimPrefix(want, "\n"), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestLines(t *testing.T) {
	sameLines(t, printed(t, Options{}, item{at: at, batch: stream()}, item{at: at, lost: inKernel, count: 1}, item{at: at, lost: inQueue, count: 20},
		item{at: at, lost: inKernel}, item{at: at, batch: []byte{1, 2, 3}}), `
+ link 9: br0 down state unknown
+ link 3: eth0 up carrier mtu 1500 state unknown master br0 kind veth
+ addr 192.0.2.1/24 dev eth0 scope global
+ neigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09 reachable
- route 198.51.100.0/24 via 192.0.2.2 dev eth0 proto static metric 7
+ rule 77: inet6 from 2001:db8::/32 iif eth0 lookup 100
+ nexthop id 5 via 192.0.2.2 dev eth0 proto static
- link 3: eth0 down state unknown
- link 3: eth0 up carrier mtu 1500 state unknown master br0 kind veth
+ netconf mpls dev if3 input 1
+ netconf inet all forwarding 0 rp_filter 2
- neigh 192.0.2.9 dev if3
? message type 200 of 20 octets
! 1 notification lost: the receive buffer was full (loss 1, 1 lost so far)
! 20 notifications lost: the output was too slow (loss 2, 21 lost so far)
! an unknown number of notifications lost: the receive buffer was full (loss 3, 21 lost so far)
? rtnl: 3 octets are left where a header should be: unexpected EOF
`)
}

func TestKindsTimeAndColour(t *testing.T) {
	o := Options{Kinds: []rtnl.Kind{rtnl.KindRoute, rtnl.KindNexthop}, Timestamp: true, Colour: true}
	sameLines(t, printed(t, o, item{at: at, batch: stream()}, item{at: at, lost: inQueue, count: 2}), "\n"+
		"\x1b[2m05:06:07.000008 - route 198.51.100.0/24 via 192.0.2.2 dev eth0 proto static metric 7\x1b[0m\n"+
		"05:06:07.000008 + nexthop id 5 via 192.0.2.2 dev eth0 proto static\n"+
		"\x1b[31m05:06:07.000008 ! 2 notifications lost: the output was too slow (loss 1, 2 lost so far)\x1b[0m\n")
	if n := o.weigh(stream()); n != 2 {
		t.Errorf("the batch weighs %d, not 2", n)
	}
	if n := new(Options).weigh(stream()); n != 13 {
		t.Errorf("the batch weighs %d, not 13", n)
	}
}

func TestJSON(t *testing.T) {
	got := printed(t, Options{JSON: true, Colour: true}, item{at: at, batch: stream()}, item{at: at, lost: inQueue, count: 2}, item{at: at, lost: inKernel})
	sameLines(t, got, `
{"event":"new","kind":"link","ifindex":9,"dev":"br0","up":false,"carrier":false,"text":"+ link 9: br0 down state unknown"}
{"event":"new","kind":"link","ifindex":3,"dev":"eth0","link-kind":"veth","up":true,"carrier":true,"mtu":1500,"master":"br0","text":"+ link 3: eth0 up carrier mtu 1500 state unknown master br0 kind veth"}
{"event":"new","kind":"addr","family":"inet","ifindex":3,"dev":"eth0","address":"192.0.2.1/24","text":"+ addr 192.0.2.1/24 dev eth0 scope global"}
{"event":"new","kind":"neigh","family":"inet","ifindex":3,"dev":"eth0","dst":"192.0.2.9","lladdr":"02:00:00:00:00:09","state":2,"text":"+ neigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:09 reachable"}
{"event":"gone","kind":"route","family":"inet","ifindex":3,"dev":"eth0","dst":"198.51.100.0/24","gateway":"192.0.2.2","table":254,"priority":7,"protocol":4,"type":1,"text":"- route 198.51.100.0/24 via 192.0.2.2 dev eth0 proto static metric 7"}
{"event":"new","kind":"rule","family":"inet6","dev":"eth0","src":"2001:db8::/32","table":100,"priority":77,"text":"+ rule 77: inet6 from 2001:db8::/32 iif eth0 lookup 100"}
{"event":"new","kind":"nexthop","family":"inet","ifindex":3,"dev":"eth0","gateway":"192.0.2.2","protocol":4,"id":5,"text":"+ nexthop id 5 via 192.0.2.2 dev eth0 proto static"}
{"event":"gone","kind":"link","family":"bridge","ifindex":3,"dev":"eth0","up":false,"carrier":false,"text":"- link 3: eth0 down state unknown"}
{"event":"gone","kind":"link","ifindex":3,"dev":"eth0","link-kind":"veth","up":true,"carrier":true,"mtu":1500,"master":"br0","text":"- link 3: eth0 up carrier mtu 1500 state unknown master br0 kind veth"}
{"event":"new","kind":"netconf","family":"mpls","ifindex":3,"settings":{"input":1},"text":"+ netconf mpls dev if3 input 1"}
{"event":"new","kind":"netconf","family":"inet","dev":"all","settings":{"forwarding":0,"rp_filter":2},"text":"+ netconf inet all forwarding 0 rp_filter 2"}
{"event":"gone","kind":"neigh","family":"inet","ifindex":3,"dst":"192.0.2.9","text":"- neigh 192.0.2.9 dev if3"}
{"event":"unknown","text":"? message type 200 of 20 octets"}
{"event":"lost","where":"output","count":2,"losses":1,"total":2,"text":"! 2 notifications lost: the output was too slow (loss 1, 2 lost so far)"}
{"event":"lost","where":"receive-buffer","losses":2,"total":2,"text":"! an unknown number of notifications lost: the receive buffer was full (loss 2, 2 lost so far)"}
`)
	got = printed(t, Options{JSON: true, Timestamp: true}, item{at: at, lost: inQueue, count: 2})
	if !strings.HasPrefix(got, `{"time":"2026-03-04T05:06:07.000008Z","event":"lost",`) {
		t.Error(got)
	}
}

// TestOutputFails: the first error ends the printing.
func TestOutputFails(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	for _, o := range []Options{{Out: w}, {Out: w, JSON: true}, {Out: w, Timestamp: true}} {
		f := newFeed(DefaultQueue, o.weigh)
		for range 1000 {
			f.put(at, stream())
		}
		if err := newPrinter(o).run(context.Background(), f); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v", err)
		}
	}
}

// FuzzPrint: whatever is in a datagram makes lines, and JSON that can be read.
func FuzzPrint(f *testing.F) {
	f.Add(stream())
	f.Add([]byte{})
	for b := stream(); len(b) > 0; {
		_, _, rest, err := rtnl.NextMessage(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[:len(b)-len(rest)])
		b = rest
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b) // the engine's has a capacity beyond any queue
		lines := strings.Count(printed(t, Options{Timestamp: true, Colour: true}, item{at: at, batch: b}), "\n")
		out := printed(t, Options{JSON: true}, item{at: at, batch: b})
		if n := strings.Count(out, "\n"); n != lines || uint64(n) < (&Options{}).weigh(b) {
			t.Errorf("%d lines, %d with --json", lines, n)
		}
		for line := range strings.Lines(out) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.Event == "" || r.Text == "" {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
