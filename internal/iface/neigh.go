package iface

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/rtnl"
)

// Neighbors lists the neighbours of the interface: the configured ones, then
// those of the protocol. Of two for one address the configured one counts. nil
// while nothing is offered.
func (m *Machine) Neighbors(configured []*config.Neighbor) []config.Neighbor {
	if m.offer == nil {
		return nil
	}
	var out []config.Neighbor
	for _, n := range configured {
		out = append(out, *n)
	}
	for _, n := range m.offer.Neighbors {
		if !slices.ContainsFunc(out, func(c config.Neighbor) bool { return c.Addr == n.Addr && c.Proxy == n.Proxy }) {
			out = append(out, config.Neighbor{Interface: m.Config.Name, Addr: n.Addr, MAC: n.MAC, Proxy: n.Proxy, Router: n.Router})
		}
	}
	return out
}

// KernelNeighbor translates a neighbour into the kernel's form.
func KernelNeighbor(n *config.Neighbor, ifindex uint32) rtnl.Neigh {
	k := rtnl.Neigh{Index: ifindex, Family: family(n.Addr), State: unix.NUD_PERMANENT, Dst: n.Addr, LLAddr: n.MAC, Type: unix.RTN_UNICAST}
	if n.Proxy {
		k.Flags, k.State, k.LLAddr = unix.NTF_PROXY, 0, rtnl.HWAddr{}
	}
	if n.Router {
		k.Flags |= unix.NTF_ROUTER
	}
	return k
}
