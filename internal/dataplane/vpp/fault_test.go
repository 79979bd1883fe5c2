package vpp_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
	"netbraid/rtnl"
)

const patience = 30 * time.Second

// user is a caller of a client.
type user struct {
	testing.TB
	c      *vpp.Client
	events chan dataplane.Event
	epoch  uint32
	batch  uint64
	caps   dataplane.Caps
}

func newUser(t testing.TB, socket string, change func(*vpp.Options)) *user {
	u := &user{TB: t, events: make(chan dataplane.Event, 1<<14)}
	o := vpp.Options{Socket: socket, Deliver: func(e dataplane.Event) { u.events <- e }, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&o)
	}
	u.c = vpp.New(o)
	t.Cleanup(u.c.Close)
	return u
}

// next is the next event.
func (u *user) next() dataplane.Event {
	u.Helper()
	select {
	case e := <-u.events:
		return e
	case <-time.After(patience):
		u.Fatal("no event")
		return nil
	}
}

// connect tries once.
func (u *user) connect() error {
	u.Helper()
	u.epoch++
	u.c.Connect(u.epoch)
	for {
		switch e := u.next().(type) {
		case dataplane.Up:
			if e.Epoch == u.epoch {
				u.caps = e.Caps
				return nil
			}
		case dataplane.Down:
			if e.Epoch == u.epoch {
				return e.Err
			}
		}
	}
}

func (u *user) up() {
	u.Helper()
	if err := u.connect(); err != nil {
		u.Fatal(err)
	}
}

// write does operations; err is the end of the connection.
func (u *user) write(ops ...dataplane.Op) (done dataplane.Done, before []dataplane.Event, err error) {
	u.Helper()
	u.batch++
	u.c.Write(u.epoch, dataplane.Batch{ID: u.batch, Ops: ops})
	for {
		switch e := u.next().(type) {
		case dataplane.Done:
			if e.ID != u.batch {
				u.Fatalf("answer to batch %d, not %d", e.ID, u.batch)
			}
			return e, before, nil
		case dataplane.Down:
			return done, before, e.Err
		default:
			before = append(before, e)
		}
	}
}

// must is write of what has to succeed.
func (u *user) must(ops ...dataplane.Op) dataplane.Done {
	u.Helper()
	done, _, err := u.write(ops...)
	if err != nil {
		u.Fatal(err)
	}
	for _, f := range done.Failed {
		u.Fatalf("operation %d: %v", f.Op, f.Err)
	}
	return done
}

// refused is the error of one operation that must fail.
func (u *user) refused(op dataplane.Op) error {
	u.Helper()
	done, _, err := u.write(op)
	if err != nil || len(done.Failed) != 1 {
		u.Fatalf("%+v, %v: should have failed", done, err)
	}
	return done.Failed[0].Err
}

// until waits for an event.
func (u *user) until(what string, f func(dataplane.Event) bool) {
	u.Helper()
	for {
		e := u.next()
		if f(e) {
			return
		}
		if d, ok := e.(dataplane.Down); ok {
			u.Fatalf("waiting for %s: %v", what, d.Err)
		}
	}
}

func (u *user) down() error {
	u.Helper()
	for {
		if d, ok := u.next().(dataplane.Down); ok {
			return d.Err
		}
	}
}

// dump reads a kind.
func (u *user) dump(k dataplane.Kind) (list []any, err error) {
	u.Helper()
	u.c.Dump(u.epoch, k)
	for {
		switch e := u.next().(type) {
		case dataplane.Dumped:
			for _, v := range e.Interfaces {
				list = append(list, v)
			}
			for _, v := range e.Pairs {
				v.HostIndex = 0
				list = append(list, v)
			}
			for _, v := range e.Tables {
				list = append(list, v)
			}
			for _, v := range e.Addrs {
				list = append(list, v)
			}
			for _, v := range e.Neighs {
				list = append(list, v)
			}
			for _, v := range e.Routes {
				list = append(list, fmt.Sprintf("%+v %+v", v.Key, *v.Paths))
			}
		case dataplane.DumpDone:
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			return list, e.Err
		case dataplane.Down:
			return nil, e.Err
		}
	}
}

func pfx(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func mac(last byte) rtnl.HWAddr { return rtnl.MAC([6]byte{2, 0, 0, 0, 0, last}) }

func path(index uint32, via string) *dataplane.PathSet {
	return &dataplane.PathSet{Paths: []dataplane.Path{{Index: index, Via: netip.MustParseAddr(via), Weight: 1}}}
}

func routeSet(p string, s *dataplane.PathSet) dataplane.Op {
	return dataplane.Op{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Prefix: pfx(p)}, Paths: s}
}

// scenario uses every request; err is the end of the connection. With a nil
// error it says what there is at the end.
func scenario(u *user, phy uint32) (end [][]any, err error) {
	for _, k := range dataplane.Kinds {
		if _, err := u.dump(k); err != nil {
			return nil, err
		}
	}
	steps := [][]dataplane.Op{{
		{Kind: dataplane.SetUp, Index: phy, On: true},
		{Kind: dataplane.SetMTU, Index: phy, Value: 1600}, // more than the driver has
		{Kind: dataplane.SetMAC, Index: phy, MAC: mac(7)},
		{Kind: dataplane.TableAdd, Value: 10, Family: unix.AF_INET},
		{Kind: dataplane.TableAdd, Value: 10, Family: unix.AF_INET6},
		{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", HostPort: dataplane.NoIndex}},
		{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("192.0.2.1/24")},
		{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("192.0.2.1/24")},
		{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("2001:db8::1/64")},
		{Kind: dataplane.AddrAdd, Index: phy, Prefix: pfx("fe80::1/64")},
		{Kind: dataplane.SetMulticast, Index: phy, On: true},
		{Kind: dataplane.SetTable, Index: phy, Value: 10},
		{Kind: dataplane.SetTable, Index: phy, Value: 0},
		{Kind: dataplane.SetMPLS, Index: phy, On: true},
		{Kind: dataplane.NeighSet, Index: phy, Addr: netip.MustParseAddr("192.0.2.2"), MAC: mac(2), On: true},
		{Kind: dataplane.NeighSet, Index: phy, Addr: netip.MustParseAddr("192.0.2.2"), MAC: mac(2)},
		{Kind: dataplane.NeighSet, Index: phy, Addr: netip.MustParseAddr("2001:db8::2"), MAC: mac(3), On: true},
		routeSet("10.0.0.0/8", path(phy, "192.0.2.2")),
		routeSet("2001:db8:1::/48", path(phy, "2001:db8::2")),
		{Kind: dataplane.RouteSet, Route: dataplane.RouteKey{Label: 100, EOS: true}, Paths: path(phy, "192.0.2.2")},
		{Kind: dataplane.SubAdd, Index: phy, Sub: dataplane.Sub{Outer: 100, Exact: true}},
	}}
	for _, ops := range steps {
		done, _, err := u.write(ops...)
		if err != nil {
			return nil, err
		}
		for _, f := range done.Failed {
			u.Errorf("operation %d (%v): %v", f.Op, ops[f.Op].Kind, f.Err)
		}
		if len(done.Made) != 2 {
			u.Fatalf("made %+v", done.Made)
		}
		sub := done.Made[1].Index
		done, _, err = u.write(
			dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: sub, HostName: "e0.100", HostPort: dataplane.NoIndex}},
			dataplane.Op{Kind: dataplane.SetMulticast, Index: sub, On: true},
			dataplane.Op{Kind: dataplane.SetMulticast, Index: sub},
			dataplane.Op{Kind: dataplane.PairDel, Pair: &dataplane.Pair{Phy: sub}},
			dataplane.Op{Kind: dataplane.SubDel, Index: sub},
			dataplane.Op{Kind: dataplane.AddrDel, Index: phy, Prefix: pfx("2001:db8::1/64")},
			dataplane.Op{Kind: dataplane.NeighDel, Index: phy, Addr: netip.MustParseAddr("2001:db8::2")},
			dataplane.Op{Kind: dataplane.RouteDel, Route: dataplane.RouteKey{Prefix: pfx("2001:db8:1::/48")}},
			dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET6},
			dataplane.Op{Kind: dataplane.TableDel, Value: 10, Family: unix.AF_INET},
		)
		if err != nil {
			return nil, err
		}
		for _, f := range done.Failed {
			u.Errorf("second batch, operation %d: %v", f.Op, f.Err)
		}
	}
	for _, k := range dataplane.Kinds {
		list, err := u.dump(k)
		if err != nil {
			return nil, err
		}
		end = append(end, list)
	}
	return end, nil
}

// heard is what a companion hears that is not addressed to it, and what there is
// for that in VPP.
func heard(s *vpptest.Server, phy uint32) string {
	out := fmt.Sprint(s.Groups(), " broadcast ", s.Broadcast(0), s.Broadcast(10))
	for _, a := range []string{"224.0.0.1", "224.0.0.5", "239.1.1.1", "ff02::1", "ff02::5", "ff02::1:ff00:1"} {
		if s.Hears(phy, netip.MustParseAddr(a)) {
			out += " " + a
		}
	}
	return out
}

// TestLostAtEveryMessage: wherever the connection ends, it is told, and after
// the next one the same is written without harm and comes to the same end.
func TestLostAtEveryMessage(t *testing.T) {
	start := func() (*vpptest.Server, *user, uint32) {
		s := vpptest.Start(t, vpptest.Options{Page: 1})
		phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
		s.AddPhy("phy1", [6]byte{2, 0xfe, 0, 0, 0, 2}, 1500)
		return s, newUser(t, s.Socket(), nil), phy
	}
	s, u, phy := start()
	u.up()
	want, err := scenario(u, phy)
	if err != nil {
		t.Fatal(err)
	}
	n := s.Seen()
	end := heard(s, phy)
	u.c.Close()
	s.Close()
	if n < 100 {
		t.Fatalf("the scenario has only %d messages", n)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for at := 1; at <= n; at += step {
		for _, after := range []bool{false, true} {
			s, u, phy := start()
			s.CutAt(at, after)
			err := u.connect()
			if err == nil {
				_, err = scenario(u, phy)
			}
			if err == nil {
				t.Fatalf("lost at %d (after %v): nobody says so", at, after)
			}
			if !strings.Contains(err.Error(), "VPP") {
				t.Errorf("lost at %d: %v", at, err)
			}
			s.CutAt(0, false)
			u.up()
			got, err := scenario(u, phy)
			if err != nil {
				t.Fatalf("lost at %d (after %v), then: %v", at, after, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("lost at %d (after %v): the end is\n%v, should be\n%v", at, after, got, want)
			}
			if now := heard(s, phy); now != end {
				t.Errorf("lost at %d (after %v): heard at the end is\n%v, should be\n%v", at, after, now, end)
			}
			u.c.Close()
			s.Close()
			if t.Failed() {
				return
			}
		}
	}
}

// TestLostRequest: a request that VPP drops fails alone; the answers to the
// ones after it are not taken for its own.
func TestLostRequest(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{})
	phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	u := newUser(t, s.Socket(), func(o *vpp.Options) { o.Timeout = 400 * time.Millisecond })
	u.up()
	var ops []dataplane.Op
	for i := range 20 {
		ops = append(ops, routeSet(fmt.Sprintf("10.%d.0.0/16", i), path(phy, "192.0.2.2")))
	}
	s.Drop("ip_route_add_del_v2", 7)
	done, _, err := u.write(ops...)
	if err != nil || len(done.Failed) != 1 || done.Failed[0].Op != 6 || !strings.Contains(done.Failed[0].Err.Error(), "dropped") {
		t.Errorf("%+v, %v", done.Failed, err)
	}
	s.Drop("sw_interface_set_flags", 1)
	if err := u.refused(dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: true}); !strings.Contains(err.Error(), "dropped") {
		t.Error(err)
	}
	s.Drop("ip_address_dump", 1) // the ping behind it is answered: nothing is there
	if list, err := u.dump(dataplane.KindAddr); err != nil || len(list) > 0 {
		t.Errorf("%v, %v", list, err)
	}
	u.must(dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: true}, ops[6])
	if list, err := u.dump(dataplane.KindRoute); err != nil || len(list) != 20 {
		t.Errorf("%d routes, %v", len(list), err)
	}
}

// TestSilence: a VPP that hangs is told as gone, whether something is asked of
// it or not.
func TestSilence(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{})
	phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	u := newUser(t, s.Socket(), func(o *vpp.Options) { o.Timeout, o.Keepalive = 200*time.Millisecond, 50*time.Millisecond })
	for what, ask := range map[string]func(){
		"nothing": func() {},
		"a route": func() {
			u.c.Write(u.epoch, dataplane.Batch{Ops: []dataplane.Op{routeSet("10.0.0.0/8", path(phy, "192.0.2.2"))}})
		},
		"a flag": func() {
			u.c.Write(u.epoch, dataplane.Batch{Ops: []dataplane.Op{{Kind: dataplane.SetUp, Index: phy, On: true}}})
		},
		"a dump": func() { u.c.Dump(u.epoch, dataplane.KindRoute) },
	} {
		u.up()
		s.Mute(true)
		ask()
		if err := u.down(); !strings.Contains(err.Error(), "stuck") {
			t.Errorf("%s: %v", what, err)
		}
		if err := u.connect(); err == nil || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("%s, connecting: %v", what, err)
		}
		s.Mute(false)
	}
	u.up()
	before := s.Count("control_ping")
	deadline := time.Now().Add(patience)
	for s.Count("control_ping") < before+3 {
		if time.Now().After(deadline) {
			t.Fatal("an idle connection is not tried")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestNoVPP: what is not there is said, with what to do.
func TestNoVPP(t *testing.T) {
	u := newUser(t, filepath.Join(t.TempDir(), "none.sock"), nil)
	if err := u.connect(); err == nil || !strings.Contains(err.Error(), "socksvr") || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// impostor is a server that plays a connection as it likes.
func impostor(t *testing.T, play func(nc net.Conn, table []byte)) string {
	dir, err := os.MkdirTemp("", "vpp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	// A real handshake's first answer, from the test server.
	s := vpptest.Start(t, vpptest.Options{})
	nc, err := net.Dial("unix", s.Socket())
	if err != nil {
		t.Fatal(err)
	}
	nc.Write(append(message(append([]byte{0, 15, 0, 0, 0, 0}, make([]byte, 64)...)), 0)[:16+70])
	table := make([]byte, 16)
	if _, err := io.ReadFull(nc, table); err != nil {
		t.Fatal(err)
	}
	table = append(table, make([]byte, binary.BigEndian.Uint32(table[8:]))...)
	if _, err := io.ReadFull(nc, table[16:]); err != nil {
		t.Fatal(err)
	}
	nc.Close()
	lis, err := net.Listen("unix", filepath.Join(dir, "api.sock"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := lis.Accept()
			if err != nil {
				return
			}
			nc.SetDeadline(time.Now().Add(patience))
			play(nc, table)
			nc.Close()
		}
	}()
	t.Cleanup(func() { lis.Close(); <-done })
	return lis.Addr().String()
}

func message(p []byte) []byte {
	b := make([]byte, 16, 16+len(p))
	binary.BigEndian.PutUint32(b[8:], uint32(len(p)))
	return append(b, p...)
}

// number finds the number of a message in a table.
func number(table []byte, name string) []byte {
	for e := table[16+20:]; len(e) >= 66; e = e[66:] {
		if bytes.HasPrefix(e[2:66], []byte(name+"_")) && bytes.Count(e[2:66], []byte("_")) == strings.Count(name, "_")+1 {
			return e[:2]
		}
	}
	panic(name)
}

// TestImpostors: whatever answers on the socket, the client says that it cannot
// work with it, soon, and does not hang, panic or grow.
func TestImpostors(t *testing.T) {
	read := func(nc net.Conn) { io.CopyN(io.Discard, nc, 16+70) }
	hello := func(nc net.Conn, table []byte) {
		read(nc)
		nc.Write(table)
		io.CopyN(io.Discard, nc, 16+10) // the first ping
	}
	endless := func(nc net.Conn, b []byte) {
		for {
			if _, err := nc.Write(b); err != nil {
				return
			}
		}
	}
	tests := map[string]func(nc net.Conn, table []byte){
		"closes":             func(nc net.Conn, _ []byte) {},
		"closes after hello": func(nc net.Conn, _ []byte) { read(nc) },
		"says nothing":       func(nc net.Conn, _ []byte) { io.Copy(io.Discard, nc) },
		"half a header":      func(nc net.Conn, table []byte) { read(nc); nc.Write(table[:9]) },
		"half a table":       func(nc net.Conn, table []byte) { read(nc); nc.Write(table[:30000]) },
		"half a table, open": func(nc net.Conn, table []byte) { read(nc); nc.Write(table[:30000]); io.Copy(io.Discard, nc) },
		"a huge frame": func(nc net.Conn, _ []byte) {
			read(nc)
			nc.Write([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
			io.Copy(io.Discard, nc)
		},
		"text": func(nc net.Conn, _ []byte) { read(nc); nc.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
		"refuses": func(nc net.Conn, table []byte) {
			read(nc)
			b := bytes.Clone(table)
			b[16+13] = 0xff
			nc.Write(b)
		},
		"an empty table": func(nc net.Conn, table []byte) {
			read(nc)
			b := message(bytes.Clone(table[16 : 16+20]))
			b[16+18], b[16+19] = 0, 0
			nc.Write(b)
		},
		"a table that says more": func(nc net.Conn, table []byte) {
			read(nc)
			b := bytes.Clone(table)
			b[16+18] = 0xff
			nc.Write(b)
		},
		"zeros": func(nc net.Conn, _ []byte) { read(nc); endless(nc, make([]byte, 1<<16)) },
		"never made requests": func(nc net.Conn, table []byte) {
			hello(nc, table)
			answers(nc, table, "control_ping_reply", 0x7777)
		},
		"another answer": func(nc net.Conn, table []byte) {
			hello(nc, table)
			answers(nc, table, "show_version_reply", 1)
		},
		"cut answer": func(nc net.Conn, table []byte) {
			hello(nc, table)
			nc.Write(message(append(bytes.Clone(number(table, "control_ping_reply")), 0, 0)))
		},
		"endless events": func(nc net.Conn, table []byte) {
			hello(nc, table)
			go io.Copy(io.Discard, nc)
			e := message(append(bytes.Clone(number(table, "sw_interface_event")), make([]byte, 17)...))
			for i := uint32(0); ; i++ {
				binary.BigEndian.PutUint32(e[16+10:], i)
				if _, err := nc.Write(e); err != nil {
					return
				}
			}
		},
		"endless details": func(nc net.Conn, table []byte) {
			hello(nc, table)
			endless(nc, message(append(bytes.Clone(number(table, "fib_source_details")), make([]byte, 70)...)))
		},
		"endless unknown": func(nc net.Conn, table []byte) {
			hello(nc, table)
			endless(nc, message([]byte{0xee, 0xee, 0, 0, 0, 1, 0, 0, 0, 0}))
		},
	}
	for name, play := range tests {
		t.Run(name, func(t *testing.T) {
			u := newUser(t, impostor(t, play), func(o *vpp.Options) { o.Timeout = 300 * time.Millisecond })
			began := time.Now()
			err := u.connect()
			if err == nil {
				t.Fatal("is taken for VPP")
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if !strings.Contains(err.Error(), "VPP at /") || len(err.Error()) > 400 {
				t.Errorf("error %v", err)
			}
			t.Log(err)
		})
	}
}

// answers sends one message with a context, and then what it reads is dropped.
func answers(nc net.Conn, table []byte, name string, context uint32) {
	p := binary.BigEndian.AppendUint32(bytes.Clone(number(table, name)), context)
	nc.Write(message(append(p, make([]byte, 400)...)))
	io.Copy(io.Discard, nc)
}

// TestGivenUp: Connect and Close end a session in the middle of anything, also
// while the consumer is behind.
func TestGivenUp(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{})
	phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	var blocked atomic.Bool
	gate := make(chan struct{})
	u := newUser(t, s.Socket(), nil)
	deliver := func(e dataplane.Event) {
		if _, ok := e.(dataplane.Done); ok && blocked.Load() {
			<-gate
		}
		u.events <- e
	}
	u.c.Close()
	u.c = vpp.New(vpp.Options{Socket: s.Socket(), Deliver: deliver, Log: slog.New(slog.DiscardHandler)})
	u.up()
	blocked.Store(true)
	for range 50 {
		ops := make([]dataplane.Op, 0, 1000)
		for i := range 1000 {
			ops = append(ops, routeSet(fmt.Sprintf("10.%d.%d.0/24", i/250, i%250), path(phy, "192.0.2.2")))
		}
		u.c.Write(u.epoch, dataplane.Batch{Ops: ops})
	}
	returned := make(chan struct{})
	go func() { u.c.Connect(u.epoch + 1); close(returned) }()
	select {
	case <-returned:
	case <-time.After(patience):
		t.Fatal("Connect waits for the consumer")
	}
	u.epoch++
	blocked.Store(false)
	close(gate)
	u.until("Up", func(e dataplane.Event) bool { up, ok := e.(dataplane.Up); return ok && up.Epoch == u.epoch })
	if _, err := scenario(u, phy); err != nil {
		t.Fatal(err)
	}
	// Too much asked for is an end with a reason, not a growing queue.
	for range 1000 {
		u.c.Dump(u.epoch, dataplane.KindInterface)
	}
	if err := u.down(); !strings.Contains(err.Error(), "unanswered") {
		t.Error(err)
	}
}
