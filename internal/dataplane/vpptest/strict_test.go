package vpptest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// peer is a client of a server, without a socket between them.
type peer struct {
	s      *Server
	c      *conn
	failed []string
}

func newPeer(o Options) *peer {
	p := &peer{}
	o.Fail = func(format string, args ...any) { p.failed = append(p.failed, fmt.Sprintf(format, args...)) }
	p.s = &Server{opt: o, numbers: map[string]uint16{}, conns: map[*conn]bool{}, byID: map[uint32]*conn{}, counts: map[string]int{}}
	p.s.number()
	p.s.st = newState(p.s)
	p.c = p.join()
	return p
}

func (p *peer) join() *conn {
	c := &conn{s: p.s}
	p.s.conns[c] = true
	return c
}

func frame(b []byte) []byte {
	f := make([]byte, frameHeader, frameHeader+len(b))
	binary.BigEndian.PutUint32(f[8:], uint32(len(b)))
	return append(f, b...)
}

// hello makes a connection known.
func (p *peer) hello(c *conn) {
	c.serve(frame(append(binary.BigEndian.AppendUint32([]byte{0, 15}, 1), make([]byte, 64)...)))
	c.out = c.out[:0]
}

// ask sends a message of a name and returns what came back.
func (p *peer) ask(c *conn, name string, body ...byte) []byte {
	return p.askAs(c, c.id, name, body...)
}

func (p *peer) askAs(c *conn, id uint32, name string, body ...byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, p.s.numbers[name])
	b = binary.BigEndian.AppendUint32(b, id)
	b = binary.BigEndian.AppendUint32(b, 7)
	c.serve(frame(append(b, body...)))
	out := c.out
	c.out = nil
	return out
}

func words(v ...uint32) (b []byte) {
	for _, x := range v {
		b = binary.BigEndian.AppendUint32(b, x)
	}
	return b
}

// TestStrict: what no client may send is reported, each for what it is.
func TestStrict(t *testing.T) {
	sub := func(index uint32, vlan uint16) []byte {
		return append(words(index, 5, subOneTag|subExact), byte(vlan>>8), byte(vlan), 0, 0)
	}
	label := func(eos byte) []byte { return append(append([]byte{1, 0}, words(0, 100)...), eos, 0, 0, 0) }
	address := func(index uint32, add byte, af byte, last, length byte) []byte {
		return append(append(words(index), add, 0, af, 192, 0, 2, last), append(make([]byte, 12), length)...)
	}
	route := func(af, last, length, n byte) []byte {
		return append(append([]byte{1, 0}, words(0, 0)...), append(append([]byte{af, 10, 0, 0, last}, make([]byte, 12)...), length, n, 25)...)
	}
	for name, x := range map[string]struct {
		do   func(p *peer)
		says string
	}{
		"unknown number":  {func(p *peer) { p.c.serve(frame([]byte{0xee, 0xee, 0, 0, 0, 0})) }, "no message has number"},
		"no request":      {func(p *peer) { p.ask(p.c, "control_ping_reply") }, "is no request"},
		"too short":       {func(p *peer) { p.ask(p.c, "sw_interface_set_flags", 0, 0) }, "shorter than its fields"},
		"too long":        {func(p *peer) { p.ask(p.c, "control_ping", 0) }, "1 octets too many"},
		"length 0":        {func(p *peer) { p.c.serve(frame(nil)) }, "length 0"},
		"another's index": {func(p *peer) { p.askAs(p.c, p.c.id+1, "control_ping") }, "client index"},
		"before hello":    {func(p *peer) { p.ask(p.join(), "control_ping") }, "client index"},
		"hello twice":     {func(p *peer) { p.hello(p.c) }, "second sockclnt_create"},
		"keepalive":       {func(p *peer) { p.ask(p.c, "memclnt_keepalive") }, "no answer"},
		"local0":          {func(p *peer) { p.ask(p.c, "sw_interface_set_flags", words(0, 1)...) }, "interface 0"},
		"VLAN 0":          {func(p *peer) { p.ask(p.c, "create_subif", sub(1, 0)...) }, "sub-interface 0.0"},
		"a sub of a sub":  {func(p *peer) { p.ask(p.c, "create_subif", sub(1, 5)...); p.ask(p.c, "create_subif", sub(2, 6)...) }, "VPP dies"},
		"end of stack 2": {func(p *peer) {
			p.ask(p.c, "mpls_table_add_del", append([]byte{1}, make([]byte, 68)...)...)
			p.ask(p.c, "mpls_route_add_del", label(2)...)
		}, "VPP dies"},
		"another's end": {func(p *peer) { o := p.join(); p.hello(o); p.ask(p.c, "sockclnt_delete", words(o.id)...) }, "VPP answers and dies"},
		"the source twice": {func(p *peer) {
			b := append([]byte{16, 0}, make([]byte, 64)...)
			p.ask(p.c, "fib_source_add", b...)
			p.ask(p.c, "fib_source_add", b...)
		}, "a second source"},
		"no such source": {func(p *peer) { p.ask(p.c, "ip_route_add_del_v2", route(0, 0, 8, 0)...) }, "without paths"},
		"bits behind":    {func(p *peer) { b := route(0, 1, 8, 0); b[0] = 0; p.ask(p.c, "ip_route_add_del_v2", b...) }, "bits behind its length"},
		"family 5":       {func(p *peer) { p.ask(p.c, "ip_route_add_del_v2", route(5, 0, 8, 0)...) }, "address family 5"},
		"length 33":      {func(p *peer) { p.ask(p.c, "ip_route_add_del_v2", route(0, 0, 33, 0)...) }, "/33"},
		"address family": {func(p *peer) { p.ask(p.c, "sw_interface_add_del_address", address(1, 1, 7, 1, 24)...) }, "family 7"},
		"another length": {func(p *peer) {
			p.ask(p.c, "sw_interface_add_del_address", address(1, 1, 0, 1, 24)...)
			p.ask(p.c, "sw_interface_add_del_address", address(1, 0, 0, 1, 25)...)
		}, "VPP deletes that"},
		"labels off at 0": {func(p *peer) {
			p.ask(p.c, "mpls_table_add_del", append([]byte{1}, make([]byte, 68)...)...)
			p.ask(p.c, "sw_interface_set_mpls_enable", append(words(1), 0)...)
		}, "count wraps"},
		"replace the pairs": {func(p *peer) { p.ask(p.c, "lcp_itf_pair_replace_begin") }, "does not keep a pair"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(Options{})
			p.s.st.add(&vif{name: "phy0", dev: "dpdk", mac: [6]byte{2}, link: true, linkMTU: 1500, mtu: [4]uint32{1500}})
			p.hello(p.c)
			if len(p.failed) > 0 {
				t.Fatalf("before: %q", p.failed)
			}
			x.do(p)
			if !strings.Contains(strings.Join(p.failed, "\n"), x.says) {
				t.Errorf("reported: %q; should say %q", p.failed, x.says)
			}
		})
	}
}

// TestStrictTakesWhatIsRight: the same server has nothing to say of a client
// that does it right.
func TestStrictTakesWhatIsRight(t *testing.T) {
	p := newPeer(Options{})
	p.hello(p.c)
	for _, name := range []string{"control_ping", "show_version", "ip_table_dump", "fib_source_dump", "mpls_table_dump", "lcp_default_ns_get"} {
		if out := p.ask(p.c, name); len(out) == 0 && name != "mpls_table_dump" {
			t.Errorf("%s is not answered", name)
		}
	}
	if len(p.failed) > 0 {
		t.Errorf("reported: %q", p.failed)
	}
}

// TestTable: the answer to a hello has the length of a real VPP's.
func TestTable(t *testing.T) {
	p := newPeer(Options{})
	p.c.serve(frame(append(binary.BigEndian.AppendUint32([]byte{0, 15}, 1), make([]byte, 64)...)))
	const recorded = 0xe546 // t 2 of 01-handshake
	if n := len(p.c.out) - frameHeader; n != recorded {
		t.Errorf("%d octets, VPP sends %d", n, recorded)
	}
}
