package vpp

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/dataplane"
)

// sink is a connection that takes everything.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error)      { return len(b), nil }
func (sink) SetWriteDeadline(time.Time) error { return nil }
func (sink) Close() error                     { return nil }
func (sink) Read([]byte) (int, error)         { return 0, errors.New("nothing") }

// quietSession is a session that talks to nobody, and knows every message by
// its place in layouts.
func quietSession() *session {
	c := New(Options{Deliver: func(dataplane.Event) {}, Log: slog.New(slog.DiscardHandler)})
	s := newSession(context.Background(), c, &queue{more: make(chan struct{}, 1)})
	s.conn, s.source = sink{}, 25
	for m := range messageEnd {
		s.ids.number[m] = uint16(m)
		s.ids.of = append(s.ids.of, m)
	}
	return s
}

func answerFrame(m message, context uint32, fields ...uint32) []byte {
	return put32(put32(put16(nil, uint16(m)), context), fields...)
}

// TestRoutesAllocateNothing: a route that goes out and is answered costs no
// allocation.
func TestRoutesAllocateNothing(t *testing.T) {
	s := quietSession()
	b := &batch{Batch: dataplane.Batch{Ops: make([]dataplane.Op, 1)}}
	paths := set(via(1, "192.0.2.2", 1))
	n := uint32(0)
	reply := answerFrame(routeAddDelReply, 0, 0, 0)
	step := func() {
		n++
		b.Ops[0] = dataplane.Op{Kind: dataplane.RouteSet, Paths: paths,
			Route: dataplane.RouteKey{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}), 32)}}
		context := s.next
		if refused, err := s.route(b, 0, &b.Ops[0]); refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		put32(reply[:2], context)
		if err := s.frame(reply); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		step()
	}
	if got := testing.AllocsPerRun(10000, step); got != 0 {
		t.Errorf("%v allocations for a route", got)
	}
	if b.left != 0 || s.waiting != 0 || s.oldest != s.next || len(b.failed) > 0 {
		t.Errorf("left %d, waiting %d, %d..%d, failed %v", b.left, s.waiting, s.oldest, s.next, b.failed)
	}
}

// TestWeights: shares of more than 255 are scaled down, and what comes back is
// what was said.
func TestWeights(t *testing.T) {
	s := set(via(1, "192.0.2.2", 256), via(1, "192.0.2.3", 1), via(1, "192.0.2.4", 65535))
	var c paths
	bl := c.block(s, protoIP4)
	if bl.err != nil {
		t.Fatal(bl.err)
	}
	for i, want := range []byte{1, 1, 255} {
		if got := bl.b[i*pathLen+pathWeight]; got != want {
			t.Errorf("share %d is %d, want %d", i, got, want)
		}
	}
	back, err := c.set(asDumped(bl.b))
	if err != nil || back != s {
		t.Errorf("comes back as %+v, %v", back, err)
	}
}

// TestPathsAreBounded: what is kept of paths does not grow for ever.
func TestPathsAreBounded(t *testing.T) {
	var c paths
	for i := range maxKept + 1000 {
		p := via(1, "", 1)
		p.Via = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if bl := c.block(set(p), protoIP4); bl.err != nil {
			t.Fatal(bl.err)
		}
	}
	if len(c.blocks) > maxKept || len(c.sets) > maxKept {
		t.Errorf("%d and %d are kept", len(c.blocks), len(c.sets))
	}
}

// TestBadPaths: what VPP would take and should not is refused.
func TestBadPaths(t *testing.T) {
	deep := via(1, "192.0.2.2", 1)
	deep.Labels.N = 17
	many := make([]dataplane.Path, 256)
	for i := range many {
		many[i] = dataplane.Path{Index: 1, Via: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Weight: 1}
	}
	for name, s := range map[string]*dataplane.PathSet{
		"none":              set(),
		"too many":          set(many...),
		"weight 0":          set(via(1, "192.0.2.2", 0)),
		"local0":            set(via(0, "192.0.2.2", 1)),
		"a label too long":  set(via(1, "192.0.2.2", 1, 1<<20)),
		"17 labels":         set(deep),
		"multicast":         set(via(1, "224.0.0.1", 1)),
		"IPv4 within IPv6":  set(via(1, "::ffff:192.0.2.1", 1)),
		"a zone":            set(via(1, "fe80::1%eth0", 1)),
		"kind 9":            {Kind: 9},
		"blackhole, a path": {Kind: dataplane.Blackhole, Paths: []dataplane.Path{via(1, "192.0.2.2", 1)}},
	} {
		if bl := encodePaths(s, protoIP4); !errors.Is(bl.err, dataplane.ErrRefused) {
			t.Errorf("%s: %v", name, bl.err)
		}
	}
	if bl := encodePaths(set(via(1, "192.0.2.2", 1)), protoIP6); !errors.Is(bl.err, dataplane.ErrRefused) {
		t.Errorf("IPv6 through IPv4: %v", bl.err)
	}
	if bl := encodePaths(set(many[:255]...), protoIP4); bl.err != nil || bl.n != 255 {
		t.Errorf("255 paths: %v", bl.err)
	}
}

func TestBadKeys(t *testing.T) {
	for _, k := range []dataplane.RouteKey{
		{}, {Label: 15, EOS: true}, {Label: 1 << 20}, {Prefix: pfx("10.0.0.1/24")}, {Prefix: pfx("::ffff:10.0.0.0/120")},
		{Table: dataplane.NoIndex, Prefix: pfx("10.0.0.0/24")},
	} {
		if err := checkRoute(k); !errors.Is(err, dataplane.ErrRefused) {
			t.Errorf("%+v: %v", k, err)
		}
	}
	for _, k := range []dataplane.RouteKey{{Label: 16}, {Label: 1<<20 - 1, EOS: true}, {Prefix: pfx("0.0.0.0/0")}, {Prefix: pfx("::/0")}} {
		if err := checkRoute(k); err != nil {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

// TestRetvals: what VPP answers is said in words, and sorted.
func TestRetvals(t *testing.T) {
	for rv, want := range map[retval]struct {
		text string
		is   error
	}{
		-2:   {"INVALID_SW_IF_INDEX", dataplane.ErrNoInterface},
		-54:  {"NO_MATCHING_INTERFACE", dataplane.ErrNoInterface},
		-3:   {"NO_SUCH_FIB", dataplane.ErrRefused},
		-9:   {"UNIMPLEMENTED", dataplane.ErrUnsupported},
		-81:  {"VALUE_EXIST", dataplane.ErrTaken},
		-105: {"ADDRESS_IN_USE", dataplane.ErrTaken},
		-127: {"DUPLICATE_IF_ADDRESS", dataplane.ErrTaken},
		-999: {"VPP answers -999", dataplane.ErrRefused},
	} {
		if !strings.Contains(rv.Error(), want.text) || !errors.Is(rv, want.is) {
			t.Errorf("%d is %q, %v: %v", rv, rv.Error(), want.is, errors.Is(rv, want.is))
		}
		for _, e := range []error{dataplane.ErrNoInterface, dataplane.ErrTaken, dataplane.ErrRefused, dataplane.ErrUnsupported} {
			if e != want.is && errors.Is(rv, e) {
				t.Errorf("%d is %v too", rv, e)
			}
		}
	}
}

// TestNamespaces: files and VPP's names for them.
func TestNamespaces(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", netnsLen)) // too long for VPP
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	self := namespaces{vpp: uint32(os.Getpid())}
	elsewhere := namespaces{vpp: uint32(os.Getpid()), def: "dataplane"}
	for _, x := range []struct {
		n          namespaces
		file, name string
	}{
		{self, "", ""},
		{self, "/run/netns/blue", "blue"},
		{self, "/proc/1/fd/9", "/proc/1/fd/9"},
		{elsewhere, "/run/netns/blue", "blue"},
	} {
		name, err := x.n.write(x.file)
		if err != nil || name != x.name {
			t.Errorf("%q is written as %q, %v; want %q", x.file, name, err, x.name)
		}
		if back := x.n.read(name); back != x.file {
			t.Errorf("%q comes back as %q", x.file, back)
		}
	}
	if got := elsewhere.read(""); got != "/run/netns/dataplane" {
		t.Errorf("VPP's default is read as %q", got)
	}
	// The default is another one: ours has to be said.
	name, err := elsewhere.write("")
	if err != nil || name == "" || elsewhere.read(name) != "" {
		t.Errorf("our own namespace is written as %q, %v, and read as %q", name, err, elsewhere.read(name))
	}
	if name, err := self.write("/var/run/netns/blue"); err != nil || name != "blue" {
		t.Errorf("%q, %v", name, err)
	}
	for _, bad := range []string{dir, "blue", "/run/netns/" + strings.Repeat("x", netnsLen)} {
		if name, err := self.write(bad); !errors.Is(err, dataplane.ErrRefused) {
			t.Errorf("%q is written as %q, %v", bad, name, err)
		}
	}
	if got := self.read("pid:1x"); got != "pid:1x" {
		t.Errorf("nonsense is read as %q", got)
	}
}

// TestSubIDs: tags that differ never get one number, whatever the names.
func TestSubIDs(t *testing.T) {
	seen := map[uint32]dataplane.Sub{}
	for _, s := range []dataplane.Sub{{Outer: 5}, {Outer: 5, Exact: true}, {Outer: 5, OuterAD: true, Exact: true}, {Outer: 5, Inner: 1, Exact: true},
		{Outer: 5, Inner: 4094, OuterAD: true, Exact: true}, {Outer: 4094, Inner: 5, Exact: true}} {
		ids := subIDs("eth0.77", s)
		if len(ids) != 2 || ids[0] != 77 {
			t.Errorf("%+v: %v", s, ids)
		}
		if other, there := seen[ids[1]]; there {
			t.Errorf("%+v and %+v have both %d", s, other, ids[1])
		}
		seen[ids[1]] = s
	}
	for _, name := range []string{"", "eth0", "eth0.", "eth0.x", "eth0.0", "eth0.-1", "eth0.99999999999"} {
		if ids := subIDs(name, dataplane.Sub{Outer: 5, Exact: true}); len(ids) != 1 || ids[0] != 5 {
			t.Errorf("%q: %v", name, ids)
		}
	}
}

// TestContextsWrap: after four thousand million requests numbers begin anew.
func TestContextsWrap(t *testing.T) {
	s := quietSession()
	s.oldest, s.next = ^uint32(0)-5, ^uint32(0)-5
	b := &batch{Batch: dataplane.Batch{Ops: []dataplane.Op{{Kind: dataplane.RouteDel, Route: dataplane.RouteKey{Prefix: pfx("10.0.0.0/8")}}}}}
	for range 20 {
		if refused, err := s.route(b, 0, &b.Ops[0]); refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		if err := s.frame(answerFrame(routeAddDelReply, s.next-1, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if b.left != 0 || s.waiting != 0 || s.oldest != s.next {
		t.Errorf("left %d, waiting %d, %d..%d", b.left, s.waiting, s.oldest, s.next)
	}
}
