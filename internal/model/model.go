package model

import (
	"cmp"
	"net/netip"

	"netbraid/rtnl"
)

// NS identifies a network namespace within one daemon. 0 is the one that the
// daemon was started in.
type NS uint16

// AddrKey identifies an IP address in the kernel: IPv4 by local address,
// prefix length and peer; IPv6 by local address on a link (net/ipv4/devinet.c,
// net/ipv6/addrconf.c).
type AddrKey struct {
	NS        NS
	Index     uint32
	PrefixLen uint8
	Local     netip.Addr
	Peer      netip.Addr
}

// KeyOfAddr gives the key of an address as the kernel tells addresses apart.
func KeyOfAddr(ns NS, a *rtnl.Addr) AddrKey {
	k := AddrKey{NS: ns, Index: a.Index, PrefixLen: a.PrefixLen, Local: a.Local, Peer: a.Peer}
	if a.Local.Is6() {
		k.PrefixLen, k.Peer = 0, netip.Addr{}
	}
	return k
}

// Compare orders keys: by link, family, then address.
func (k AddrKey) Compare(o AddrKey) int {
	return cmp.Or(cmp.Compare(k.NS, o.NS), cmp.Compare(k.Index, o.Index), k.Local.Compare(o.Local),
		cmp.Compare(k.PrefixLen, o.PrefixLen), k.Peer.Compare(o.Peer))
}

// RouteKey identifies a route slot in the kernel: routes with one key compete
// for it (IPv4: a replace takes the first; IPv6: they are siblings or next to
// each other). The protocol is not part of it.
type RouteKey struct {
	NS       NS
	Family   uint8
	TOS      uint8
	Table    uint32
	Priority uint32
	Label    uint32 // of AF_MPLS, which has no Dst
	Dst      netip.Prefix
	Src      netip.Prefix
}

// KeyOfRoute gives the slot of a route.
func KeyOfRoute(ns NS, r *rtnl.Route) RouteKey {
	return RouteKey{NS: ns, Family: r.Family, TOS: r.TOS, Table: r.Table, Priority: r.Priority, Label: r.Label, Dst: r.Dst, Src: r.Src}
}

// Compare orders keys: by table, destination, then metric.
func (k RouteKey) Compare(o RouteKey) int {
	return cmp.Or(cmp.Compare(k.NS, o.NS), cmp.Compare(k.Family, o.Family), cmp.Compare(k.Table, o.Table),
		k.Dst.Addr().Compare(o.Dst.Addr()), cmp.Compare(k.Dst.Bits(), o.Dst.Bits()), cmp.Compare(k.TOS, o.TOS),
		cmp.Compare(k.Priority, o.Priority), cmp.Compare(k.Label, o.Label), k.Src.Addr().Compare(o.Src.Addr()), cmp.Compare(k.Src.Bits(), o.Src.Bits()))
}

// SysctlKey names one per-link setting below /proc/sys/net.
type SysctlKey struct {
	NS    NS
	Index uint32
	// Name is the path with the device left out: "ipv4/conf/rp_filter".
	Name string
}

// Compare orders keys by link, then name.
func (k SysctlKey) Compare(o SysctlKey) int {
	return cmp.Or(cmp.Compare(k.NS, o.NS), cmp.Compare(k.Index, o.Index), cmp.Compare(k.Name, o.Name))
}

// Path gives the file below /proc/sys/net of the setting on the device.
func (k SysctlKey) Path(device string) string {
	for i := len(k.Name) - 1; i >= 0; i-- {
		if k.Name[i] == '/' {
			return k.Name[:i+1] + device + k.Name[i:]
		}
	}
	return k.Name
}

// Sysctl is a wanted value of a per-link setting.
type Sysctl struct {
	Name  string // as in SysctlKey
	Value string
}

// Settings are the options that configuration can set on any device: those
// that live in the link itself, and those that live in sysctls. Only what was
// asked for is in them.
type Settings struct {
	Link   rtnl.Link      // values of the fields in Fields
	Fields rtnl.LinkField // LinkMTU, LinkAddr, LinkTxQLen, LinkPromisc, LinkMulticast, Port*
	Sysctl []Sysctl       // sorted by name
	// Auth: no traffic before 802.1X has let the link through.
	Auth bool
}

// Equal tells whether both ask for the same.
func (s *Settings) Equal(o *Settings) bool {
	if s.Auth != o.Auth || s.Fields != o.Fields || s.Fields.Diff(&s.Link, &o.Link) != 0 || len(s.Sysctl) != len(o.Sysctl) {
		return false
	}
	for i := range s.Sysctl {
		if s.Sysctl[i] != o.Sysctl[i] {
			return false
		}
	}
	return true
}
