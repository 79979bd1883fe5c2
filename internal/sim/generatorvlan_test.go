package sim

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// vlanOrBelow is a VLAN or a link that has one, nil if there is none.
func (g *generator) vlanOrBelow(k *Kernel) *link {
	l := g.ofKind(k, kindVLAN)
	if l != nil && g.one(2) {
		return l.lower
	}
	return l
}

func (g *generator) vlanProtocol() uint16 {
	return pick[uint16](g, unix.ETH_P_8021Q, unix.ETH_P_8021Q, unix.ETH_P_8021AD)
}

// addVLAN makes a VLAN on any link, VLANs too. Few ids make duplicates likely.
func (g *generator) addVLAN(k *Kernel) *operation {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kindVLAN, Index: g.newIndex(), Name: g.name("q"), Parent: g.anyLink(k).Index,
		VLAN: rtnl.VLAN{ID: uint16(g.IntN(4)), Protocol: g.vlanProtocol()}},
		Set: rtnl.LinkName | rtnl.LinkParent | rtnl.VLANID | rtnl.VLANProtocol}
	if g.one(4) {
		r.Set |= rtnl.LinkAddr
		r.Addr = g.mac()
		if g.one(8) {
			r.Addr.B[0] |= 1
		}
	}
	if g.one(4) {
		r.Set |= rtnl.LinkMTU
		r.MTU = pick[uint32](g, 60, 1000, 1280, 1400, 1500, 1501, 9000)
	}
	if g.one(4) {
		r.Set |= rtnl.LinkUp
		r.Flags = unix.IFF_UP
	}
	if g.one(6) {
		g.vlanSettings(&r)
	}
	switch g.IntN(24) {
	case 0:
		r.Parent = 99
	case 1:
		r.VLAN.ID = pick[uint16](g, 4094, 4095, 4096, 65535)
	case 2:
		r.VLAN.Protocol = unix.ETH_P_IP
	case 3:
		r.Set &^= rtnl.VLANID
	case 4:
		r.Set &^= rtnl.LinkParent
	case 5:
		r.Set &^= rtnl.VLANFields
	case 6:
		r.Name = g.anyLink(k).Name
	case 7:
		r.Set &^= rtnl.VLANProtocol
	}
	return request(unix.RTM_NEWLINK, create, &r)
}

func (g *generator) vlanSettings(r *rtnl.LinkRequest) {
	maps := func() (s string) {
		for range 1 + g.IntN(3) {
			s += qosMapping{uint32(g.IntN(20)), uint32(g.IntN(10))}.String()
		}
		return s
	}
	r.Set |= pick(g, rtnl.VLANFlags, rtnl.VLANIngress, rtnl.VLANEgress)
	// reorder header, loose binding, and a flag that there is not; GVRP and
	// MVRP need what the simulation has not: packets
	r.VLAN.Flags = pick[uint32](g, 0, 1, 4, 5, 0x21)
	r.VLAN.Ingress, r.VLAN.Egress = maps(), maps()
}

func (g *generator) setVLAN(k *Kernel) *operation {
	l := g.ofKind(k, kindVLAN)
	if l == nil || g.one(15) {
		l = g.anyLink(k)
	}
	r := rtnl.LinkRequest{Link: rtnl.Link{Index: l.Index, Kind: kindVLAN}}
	g.vlanSettings(&r)
	if g.one(8) {
		r.Set |= rtnl.VLANID
		r.VLAN.ID = pick[uint16](g, 7, 4095)
	}
	return request(unix.RTM_NEWLINK, 0, &r)
}
