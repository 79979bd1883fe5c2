package ovs

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"netbraid/internal/nstest"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// TestKernelDatapathRefusals holds that each refusal about datapaths says why.
func TestKernelDatapathRefusals(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	w.port(d, odp.TypeInternal, "int0")
	w.IP("link add d0 type dummy")
	create := func(r odp.DatapathRequest) error {
		_, err := w.c.CreateDatapath(w.ctx, r)
		return err
	}
	set := func(r odp.DatapathRequest) error {
		_, err := w.c.SetDatapath(w.ctx, r)
		return err
	}
	for _, c := range []struct {
		name   string
		err    error
		reason error
		words  string
	}{
		{"no name", create(odp.DatapathRequest{}), ErrName, "missing"},
		{"slash", create(odp.DatapathRequest{Name: "a/b"}), ErrName, `'/'`},
		{"percent", create(odp.DatapathRequest{Name: "sw%d"}), ErrName, `'%'`},
		{"too long", create(odp.DatapathRequest{Name: "sixteen-octets-x"}), ErrName, "16 octets"},
		{"of a datapath", create(odp.DatapathRequest{Name: "sw0"}), ErrDuplicate, "delete it first"},
		{"of a device", create(odp.DatapathRequest{Name: "d0"}), ErrNameTaken, "kind dummy"},
		{"of a port", create(odp.DatapathRequest{Name: "int0"}), ErrNameTaken, `port 1 of datapath "sw0"`},
		{"cache of 3", create(odp.DatapathRequest{Name: "sw9", Set: odp.SetMasksCache, MasksCache: 3}), ErrMasksCache, "3 is asked for"},
		{"unknown feature", create(odp.DatapathRequest{Name: "sw9", Set: odp.SetFeatures, Features: 0x80}), ErrFeature, "0x80"},
		{"change of none", set(odp.DatapathRequest{Name: "sw9"}), ErrNoDatapath, "sw9"},
		{"change of none by index", set(odp.DatapathRequest{Index: 9999, Set: odp.SetFeatures}), ErrNoDatapath, "9999"},
		{"change, cache of 5", set(odp.DatapathRequest{Name: "sw0", Set: odp.SetMasksCache, MasksCache: 5}), ErrMasksCache, "5"},
		{"change, unknown feature", set(odp.DatapathRequest{Name: "sw0", Set: odp.SetFeatures, Features: 0x80}), ErrFeature, "0x80"},
		{"deletion of none", w.c.DeleteDatapath(w.ctx, 9999), ErrNoDatapath, "9999"},
		{"deletion of 0", w.c.DeleteDatapath(w.ctx, 0), ErrNoDatapath, ""},
		{"deletion of lo", w.c.DeleteDatapath(w.ctx, 1), ErrNoDatapath, ""},
		{"ports of none", second(w.c.Ports(w.ctx, 9999)), ErrNoDatapath, "9999"},
		{"flows of none", second(w.c.Flows(w.ctx, 9999)), ErrNoDatapath, "9999"},
		{"flush of none", w.c.FlushFlows(w.ctx, 9999), ErrNoDatapath, "9999"},
	} {
		mustBe(t, c.name, c.err, c.reason, c.words)
	}
	if _, err := w.c.Datapath(w.ctx, "sw9"); !errors.Is(err, ErrNoDatapath) {
		t.Errorf("a refused datapath: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// devices makes one device of each kind that matters as a port.
func (w *world) devices() {
	w.t.Helper()
	w.batch(`link set lo up
link add d0 type dummy
link add br0 type bridge
link add bd0 type bond
link add red type vrf table 10
link add m1 type dummy
link add m2 type dummy
link add m3 type dummy
link set m1 master br0
link set m2 master bd0
link set m3 master red
link add low type dummy
link add mv0 link low type macvlan
link add vl0 link d0 type vlan id 5
link add vx9 type vxlan external dstport 4799
link add gt0 type gretap external
link add ipgre type gre remote 192.0.2.1 local 192.0.2.2
link add sit9 type sit remote 192.0.2.1 local 192.0.2.2
link add wg0 type wireguard
tuntap add tap0 mode tap
tuntap add tun0 mode tun
`)
}

// TestKernelPortRefusals holds that each refusal to add a port says why, and
// that what the kernel accepts is accepted.
func TestKernelPortRefusals(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	w.devices()
	d, other := w.datapath("sw0"), w.datapath("sw1")
	w.port(d, odp.TypeInternal, "int0")
	w.port(other, odp.TypeInternal, "int1")
	w.port(d, odp.TypeNetdev, "d0")
	w.IP("link add m4 type dummy")
	w.port(other, odp.TypeNetdev, "m4")
	w.port(other, odp.TypeVXLAN, "vx0")
	var program net.PacketConn
	if err := w.Do(func() (err error) { program, err = net.ListenPacket("udp4", "0.0.0.0:4801"); return err }); err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	add := func(name string, typ odp.PortType, more ...func(*odp.PortRequest)) error {
		r := odp.PortRequest{Datapath: d.Index, Name: name, Set: odp.SetType, Type: typ}
		for _, f := range more {
			f(&r)
		}
		_, err := w.c.AddPort(w.ctx, r)
		return err
	}
	number := func(n uint32) func(*odp.PortRequest) {
		return func(r *odp.PortRequest) { r.Set, r.Number = r.Set|odp.SetNumber, n }
	}
	to := func(dp uint32) func(*odp.PortRequest) { return func(r *odp.PortRequest) { r.Datapath = dp } }
	sockets := func(n int) func(*odp.PortRequest) {
		return func(r *odp.PortRequest) { r.Set, r.PIDs = r.Set|odp.SetPIDs, make([]uint32, n) }
	}
	udp := func(n uint16) func(*odp.PortRequest) { return func(r *odp.PortRequest) { r.Options.DstPort = n } }
	const netdev = odp.TypeNetdev
	for _, c := range []struct {
		name   string
		err    error
		reason error
		words  string
	}{
		{"no name", add("", netdev), ErrName, "missing"},
		{"slash", add("a/b", odp.TypeInternal), ErrName, `'/'`},
		{"percent", add("x%d", odp.TypeInternal), ErrName, `'%'`},
		{"16 octets", add("sixteen-octets-x", odp.TypeInternal), ErrName, "16"},
		{"no datapath", add("gt0", netdev, to(0)), ErrNoDatapath, ""},
		{"unknown datapath", add("gt0", netdev, to(9999)), ErrNoDatapath, "9999"},
		{"no such device", add("nope0", netdev), ErrNoDevice, "nope0"},
		{"lo", add("lo", netdev), ErrLoopback, "veth"},
		{"ip gre", add("ipgre", netdev), ErrNotEthernet, "kind gre with link type 778"},
		{"sit", add("sit9", netdev), ErrNotEthernet, "kind sit"},
		{"vrf", add("red", netdev), ErrNoReceive, "VRF"},
		{"local device", add("sw0", netdev), ErrInternal, "local device"},
		{"internal device", add("int0", netdev), ErrInternal, `internal port 1 of datapath "sw0"`},
		{"internal device of another", add("int1", netdev), ErrInternal, `datapath "sw1"`},
		{"in a bridge", add("m1", netdev), ErrEnslaved, `belongs to "br0" (a device of kind bridge)`},
		{"in a bond", add("m2", netdev), ErrEnslaved, "bd0"},
		{"in a vrf", add("m3", netdev), ErrEnslaved, "red"},
		{"of another datapath", add("m4", netdev), ErrEnslaved, `port 2 of datapath "sw1"`},
		{"below a macvlan", add("low", netdev), ErrEnslaved, "macvlan"},
		{"there already", add("d0", netdev), ErrDuplicate, "port 2 of it"},
		{"internal, a device's name", add("br0", odp.TypeInternal), ErrNameTaken, "kind bridge"},
		{"internal, an internal's name", add("int1", odp.TypeInternal), ErrNameTaken, `datapath "sw1"`},
		{"internal, a datapath's name", add("sw1", odp.TypeInternal), ErrNameTaken, `local device of datapath "sw1"`},
		{"number 65535", add("tap0", netdev, number(65535)), ErrNumberRange, "65535"},
		{"number 65536", add("tap0", netdev, number(65536)), ErrNumberRange, "65536"},
		{"number taken", add("tap0", netdev, number(2)), ErrNumberTaken, `2 is that of "d0"`},
		{"type 77", add("tap0", 77), ErrUnknownType, "type 77"},
		{"type 0", add("tap0", 0), ErrUnknownType, "type 0"},
		{"vxlan, UDP port taken by a port", add("vx1", odp.TypeVXLAN), ErrTunnelTaken, `"vx0" of datapath "sw1" has UDP port 4789`},
		{"vxlan, UDP port taken by a program", add("vx1", odp.TypeVXLAN, udp(4801)), ErrTunnelTaken, "a program or another vxlan device has UDP port 4801"},
		{"vxlan, a device's name", add("br0", odp.TypeVXLAN, udp(4800)), ErrNameTaken, "bridge"},
		{"gre beside gretap external", add("gre1", odp.TypeGRE), ErrTunnelTaken, "gretap"},
		{"sockets", add("tap0", netdev, sockets(500)), ErrSockets, "500"},
	} {
		mustBe(t, c.name, c.err, c.reason, c.words)
	}
	w.IP("link del gt0")
	if err := errors.Join(add("gre1", odp.TypeGRE), w.c.DeletePort(w.ctx, d.Index, 3)); err != nil {
		t.Errorf("gre alone: %v", err)
	}
	w.port(other, odp.TypeGRE, "gre2")
	mustBe(t, "second gre", add("gre1", odp.TypeGRE), ErrTunnelTaken, `"gre2" of datapath "sw1"`)
	for _, name := range []string{"br0", "bd0", "tap0", "tun0", "wg0", "mv0", "vl0", "vx9"} {
		if err := add(name, netdev); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
	w.same()
}

// TestKernelPortMoreRefusals is about ports that are there, or not.
func TestKernelPortMoreRefusals(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	vx := w.port(d, odp.TypeVXLAN, "vx0")
	w.port(d, odp.TypeInternal, "int0")
	set := func(r odp.PortRequest) error {
		if r.Datapath == 0 {
			r.Datapath = d.Index
		}
		r.Set |= odp.SetNumber
		return second(w.c.SetPort(w.ctx, r))
	}
	for _, c := range []struct {
		name   string
		err    error
		reason error
		words  string
	}{
		{"delete the local port", w.c.DeletePort(w.ctx, d.Index, 0), ErrLocalPort, "delete the datapath"},
		{"delete none", w.c.DeletePort(w.ctx, d.Index, 99), ErrNoPort, `99 of datapath "sw0"`},
		{"delete 65535", w.c.DeletePort(w.ctx, d.Index, 65535), ErrNumberRange, ""},
		{"delete of no datapath", w.c.DeletePort(w.ctx, 9999, 1), ErrNoDatapath, "9999"},
		{"show none", second(w.c.Port(w.ctx, d.Index, 99)), ErrNoPort, "99"},
		{"show 65536", second(w.c.Port(w.ctx, d.Index, 65536)), ErrNumberRange, ""},
		{"show by name", second(w.c.PortByName(w.ctx, d.Index, "nope")), ErrNoPort, "renamed"},
		{"show by no name", second(w.c.PortByName(w.ctx, d.Index, "")), ErrName, ""},
		{"change the type", set(odp.PortRequest{Number: vx.Number, Set: odp.SetType, Type: odp.TypeInternal}), ErrUnchangeable, "type"},
		{"change the options", set(odp.PortRequest{Number: vx.Number, Set: odp.SetOptions, Options: odp.TunnelOptions{DstPort: 4800}}), ErrUnchangeable, "options"},
		{"options of internal", set(odp.PortRequest{Number: 2, Set: odp.SetOptions}), ErrUnchangeable, "options"},
		{"change none", set(odp.PortRequest{Number: 98, Set: odp.SetPIDs, PIDs: []uint32{1}}), ErrNoPort, ""},
		{"more sockets than CPUs", set(odp.PortRequest{Number: 2, Set: odp.SetPIDs, PIDs: make([]uint32, 500)}), ErrSockets, "one for each CPU"},
	} {
		mustBe(t, c.name, c.err, c.reason, c.words)
	}
}

// TestTypes holds the names of types of ports.
func TestTypes(t *testing.T) {
	for s, want := range map[string]odp.PortType{"": 1, "system": 1, "netdev": 1, "internal": 2, "gre": 3, "vxlan": 4, "geneve": 5, "77": 77} {
		if got, err := ParseType(s); err != nil || got != want {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for s, reason := range map[string]error{"gre64": ErrDroppedType, "lisp": ErrDroppedType, "patch": ErrUnknownType, "0": ErrUnknownType, "-1": ErrUnknownType, "GRE": ErrUnknownType} {
		if _, err := ParseType(s); !errors.Is(err, reason) || !strings.Contains(err.Error(), fmt.Sprintf("%q", s)) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// TestNoModule holds what a kernel without openvswitch answers.
func TestNoModule(t *testing.T) {
	ns := nstest.New(t)
	c, err := Open(t.Context(), ns.FD())
	if err == nil {
		c.Close()
		t.Skip("this kernel has openvswitch")
	}
	if !errors.Is(err, ErrNoModule) || !strings.Contains(err.Error(), "modprobe openvswitch") {
		t.Error(err)
	}
}
