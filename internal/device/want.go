package device

import (
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Want is what is wanted of the link of a device; nil for nothing (nobody
// claims it).
func (g *Graph) Want(name string) *plan.LinkWant {
	d := g.devs[name]
	if d == nil || d.claims == 0 || !d.present {
		return nil
	}
	w := &plan.LinkWant{Name: name, Owner: "device " + name, Depth: g.depth(name, 0), Takeover: g.takeover}
	sysctl := map[string]string{}
	master := g.master(name)
	ipv6Said := d.cfg != nil && d.cfg.IPv6Set
	if d.cfg != nil {
		w.Takeover = w.Takeover || d.cfg.Takeover
		g.wantType(w, d)
		merge(w, sysctl, &d.cfg.Settings)
	}
	for _, u := range slices.Sorted(maps.Keys(d.overlay)) {
		o := d.overlay[u]
		w.Takeover = w.Takeover || o.takeover
		if o.settings != nil {
			merge(w, sysctl, o.settings)
		}
		ipv6Said = ipv6Said || o.ipv6Set
	}
	if !d.external {
		w.Set |= rtnl.LinkUp
		w.Link.Flags |= unix.IFF_UP
	}
	if (master != "" || g.switchOf(name) != "") && !ipv6Said {
		sysctl[config.SysctlDisableIPv6] = "1" // a bridge port is no host
	}
	if master != "" && (!d.needsAuth() || d.authorized) {
		w.Set |= rtnl.LinkMaster
		w.Master = master
	} else {
		w.Set &^= rtnl.PortFields
	}
	for _, n := range slices.Sorted(maps.Keys(sysctl)) {
		w.Sysctl = append(w.Sysctl, model.Sysctl{Name: n, Value: sysctl[n]})
	}
	return w
}

func merge(w *plan.LinkWant, sysctl map[string]string, s *model.Settings) {
	s.Fields.Copy(&w.Link, &s.Link)
	w.Set |= s.Fields
	for _, x := range s.Sysctl {
		sysctl[x.Name] = x.Value
	}
}

// wantType adds what the type of a device asks for.
func (g *Graph) wantType(w *plan.LinkWant, d *Device) {
	c := d.cfg
	switch c.Type {
	case config.Bridge:
		w.Create = true
		w.Link.Kind = "bridge"
		c.AttrFields.Copy(&w.Link, &rtnl.Link{Bridge: c.Attrs})
		w.Set |= c.AttrFields
		if addr := g.primaryAddr(d); addr.Len != 0 {
			w.Link.Addr = addr
			w.Set |= rtnl.LinkAddr
		}
	case config.VLAN, config.SVLAN:
		w.Create = true
		w.Link.Kind = "vlan"
		w.Link.VLAN = rtnl.VLAN{ID: c.VID, Protocol: unix.ETH_P_8021Q, Ingress: qosMap(c.Ingress), Egress: qosMap(c.Egress)}
		if c.Type == config.SVLAN {
			w.Link.VLAN.Protocol = unix.ETH_P_8021AD
		}
		w.Parent = c.Parent
		w.Fixed = rtnl.VLANID | rtnl.VLANProtocol | rtnl.LinkParent
		w.Set |= w.Fixed
		if len(c.Ingress) > 0 {
			w.Set |= rtnl.VLANIngress
		}
		if len(c.Egress) > 0 {
			w.Set |= rtnl.VLANEgress
		}
	case config.MACVLAN:
		w.Create = true
		w.Link.Kind = "macvlan"
		w.Link.MACVLAN.Mode = c.Mode
		w.Parent = c.Parent
		w.Fixed = rtnl.LinkParent
		w.Set |= rtnl.LinkParent | rtnl.MACVLANMode
	case config.Veth:
		w.Create = true
		w.Link.Kind = "veth"
		w.Peer, w.PeerHW = c.PeerName, c.PeerAddr
	case config.Tunnel:
		w.Create = true
		w.Link.Kind, w.Link.Data = c.Kind, c.Data
	}
}

// primaryAddr is the address of the first port that is there.
func (g *Graph) primaryAddr(d *Device) rtnl.HWAddr {
	for _, p := range d.below() {
		if l := g.links.LinkByName(p); l != nil && g.Present(p) {
			return l.Addr
		}
	}
	return rtnl.HWAddr{}
}

// master is the active bridge that has the device as a port.
func (g *Graph) master(name string) string {
	for _, a := range slices.Sorted(maps.Keys(g.above[name])) {
		if d := g.devs[a]; d != nil && d.claims > 0 && d.present && d.cfg != nil && d.cfg.Type == config.Bridge {
			return a
		}
	}
	return ""
}

// depth is how many levels of devices are below; loops are cut (configuration
// refuses them).
func (g *Graph) depth(name string, level int) int {
	d := g.devs[name]
	if d == nil || level > 16 {
		return 0
	}
	top := 0
	for _, b := range d.below() {
		top = max(top, 1+g.depth(b, level+1))
	}
	return top
}

// qosMap encodes "from:to" pairs as the kernel's struct ifla_vlan_qos_mapping.
func qosMap(pairs []string) string {
	var b []byte
	for _, p := range pairs {
		from, to, _ := strings.Cut(p, ":")
		f, err1 := strconv.ParseUint(from, 0, 32)
		t, err2 := strconv.ParseUint(to, 0, 32)
		if err1 == nil && err2 == nil {
			b = binary.NativeEndian.AppendUint32(b, uint32(f))
			b = binary.NativeEndian.AppendUint32(b, uint32(t))
		}
	}
	return string(b)
}
