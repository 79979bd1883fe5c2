package core

import (
	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/internal/plan"
)

// Neighbors lists the configured neighbours of an interface.
func (c *Core) Neighbors(name string) (out []*config.Neighbor) {
	if c.cfg == nil {
		return nil
	}
	for _, n := range c.cfg.Neighbors {
		if n.Interface == name {
			out = append(out, n)
		}
	}
	return out
}

// addNeighbors adds to what an interface wants its neighbours, the configured
// ones and those of its protocol.
func (c *Core) addNeighbors(m *iface.Machine, o *plan.Objects) *plan.Objects {
	ifindex := c.ifindex(m.L3Device())
	if o == nil || ifindex == 0 {
		return o
	}
	for _, n := range m.Neighbors(c.Neighbors(m.Config.Name)) {
		o.Neighs = append(o.Neighs, iface.KernelNeighbor(&n, ifindex))
	}
	return o
}
