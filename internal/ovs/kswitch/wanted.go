package kswitch

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"netbraid/internal/model"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// wantedPort is a port of a bridge as the switch sees it.
type wantedPort struct {
	vlan   l2.VLAN
	vport  string  // the port of the datapath that its frames go through
	tunnel *tunnel // nil: all frames of that port are of this one
}

// wantedVport is a port that the datapath is to have.
type wantedVport struct {
	name    string
	typ     odp.PortType
	number  uint32 // 0: any
	options odp.TunnelOptions
}

// maxTunnels bounds the tunnels of a bridge: each takes some 70 octets of a list
// of actions that floods, where another port takes 8.
const maxTunnels = 128

// checkPort says what is needed for a port, or what this backend cannot do.
func checkPort(p *model.SwitchPort) (w wantedPort, v wantedVport, err error) {
	if w.vlan, err = l2.ParseVLAN(p); err != nil {
		return w, v, err
	}
	if err := odp.CheckName(p.Name); err != nil {
		return w, v, err
	}
	w.vport = p.Name
	v = wantedVport{name: p.Name, number: p.Number}
	switch {
	case len(p.Members) > 0:
		return w, v, errors.New("bonds of Open vSwitch need the backend 'ovsdb'; here make a bonding device and list it as a plain port")
	case p.Number > odp.MaxPort:
		return w, v, fmt.Errorf("port number %d: they are 1 to %d", p.Number, odp.MaxPort)
	}
	switch p.Type {
	case "", "system":
		v.typ = odp.TypeNetdev
	case "internal":
		v.typ = odp.TypeInternal
	case "gre", "vxlan", "geneve":
		if w.tunnel, v, err = parseTunnel(p); err != nil {
			return w, v, fmt.Errorf("type %s: %w", p.Type, err)
		}
		w.vport = v.name
	default:
		return w, v, fmt.Errorf("type %q: the backend 'kernel' has devices, internal, gre, vxlan and geneve", p.Type)
	}
	return w, v, nil
}

// tunnel is how frames of a port are wrapped.
type tunnel struct {
	out  odp.Tunnel // what is set before they leave
	from tunnelKey  // what frames have that come in through it; without the port's number
}

// tunnelKey tells the tunnels apart that share a port of the datapath.
type tunnelKey struct {
	vport  uint32
	id     uint64
	hasID  bool
	remote netip.Addr
}

// defaultTTL of the outer packets, as ovs-vswitchd has it.
const defaultTTL = 64

// parseTunnel reads the options of a tunnel (ovs-vswitchd.conf.db(5), Interface).
// Tunnels of one type and UDP port share a port of the datapath, which has the
// name that ovs-vswitchd gives it.
func parseTunnel(p *model.SwitchPort) (t *tunnel, v wantedVport, err error) {
	t = &tunnel{out: odp.Tunnel{HasTTL: true, TTL: defaultTTL, DF: true}}
	switch p.Type {
	case "gre":
		v = wantedVport{name: "gre_sys", typ: odp.TypeGRE}
	case "vxlan":
		v = wantedVport{name: "vxlan_sys_", typ: odp.TypeVXLAN}
	case "geneve":
		v = wantedVport{name: "genev_sys_", typ: odp.TypeGeneve}
	}
	// GRE without a key has no field for it; the others always have.
	t.out.HasID = v.typ != odp.TypeGRE
	v.options.DstPort = v.typ.DefaultDstPort()
	for _, o := range p.Options {
		if err := t.option(&v, o.Key, o.Value); err != nil {
			return nil, v, fmt.Errorf("option %s=%s: %w", o.Key, o.Value, err)
		}
	}
	switch {
	case p.Number != 0:
		return nil, v, errors.New("tunnels share a port of the datapath here: no number can be asked for")
	case !t.out.Dst.IsValid():
		return nil, v, errors.New("needs the other end: option remote_ip=ADDRESS")
	case t.out.Src.IsValid() && t.out.Src.Is4() != t.out.Dst.Is4():
		return nil, v, errors.New("remote_ip and local_ip are of two families")
	case t.out.ID >= 1<<24 && v.typ != odp.TypeGRE:
		return nil, v, fmt.Errorf("key %d: a VNI is at most %d", t.out.ID, 1<<24-1)
	}
	if v.typ != odp.TypeGRE {
		v.name += strconv.Itoa(int(v.options.DstPort))
	}
	t.from = tunnelKey{id: t.out.ID, hasID: t.out.HasID, remote: t.out.Dst}
	return t, v, nil
}

func (t *tunnel) option(v *wantedVport, key, value string) (err error) {
	switch key {
	case "remote_ip":
		t.out.Dst, err = netip.ParseAddr(value)
	case "local_ip":
		t.out.Src, err = netip.ParseAddr(value)
	case "key":
		t.out.HasID = true
		t.out.ID, err = strconv.ParseUint(value, 0, 32)
	case "dst_port":
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 16); err == nil && (v.typ == odp.TypeGRE || n == 0) {
			err = errors.New("not a UDP port of this type")
		}
		v.options.DstPort = uint16(n)
	case "ttl":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 8)
		t.out.TTL = uint8(n)
		if err == nil && n == 0 {
			err = errors.New("it is 1 to 255")
		}
	case "tos":
		var n uint64
		n, err = strconv.ParseUint(value, 0, 8)
		t.out.HasTOS, t.out.TOS = true, uint8(n)
	case "csum":
		t.out.Csum, err = strconv.ParseBool(value)
	case "df_default":
		t.out.DF, err = strconv.ParseBool(value)
	default:
		err = errors.New("the backend 'kernel' has remote_ip, local_ip, key, dst_port, ttl, tos, csum, df_default")
	}
	return err
}

// firstTunnel is the lowest number that the switch knows a tunnel by: those of
// the datapath's ports are below.
const firstTunnel = 1 << 16

// tunnels are those of a bridge by the number that the switch knows them by, and
// the other way round. It is not changed once it is made.
type tunnels struct {
	byNumber map[uint32]*tunnel
	numbers  map[tunnelKey]uint32
}

// add gives a tunnel its number; false: another has the same other end and key.
func (t *tunnels) add(number, vport uint32, w *tunnel) bool {
	one := *w
	one.from.vport = vport
	if _, taken := t.numbers[one.from]; taken {
		return false
	}
	t.byNumber[number], t.numbers[one.from] = &one, number
	return true
}

// equal tells whether all numbers mean the same.
func (t *tunnels) equal(o *tunnels) bool {
	return len(t.byNumber) == len(o.byNumber) && !slices.ContainsFunc(slices.Collect(maps.Keys(t.byNumber)), func(n uint32) bool { return !t.same(o, n) })
}

func newTunnels() *tunnels {
	return &tunnels{map[uint32]*tunnel{}, map[tunnelKey]uint32{}}
}

// tunnelNumber is the number of a port of the switch that is a tunnel; it stays
// the same as long as the bridge does.
func (b *bridge) tunnelNumber(name string) uint32 {
	i := slices.Index(b.tunnelNames, name)
	if i < 0 {
		i = slices.Index(b.tunnelNames, "")
	}
	if i < 0 {
		i = len(b.tunnelNames)
		b.tunnelNames = append(b.tunnelNames, "")
	}
	b.tunnelNames[i] = name
	return firstTunnel + uint32(i)
}
