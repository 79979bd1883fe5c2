package core

import (
	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/rtnl"
)

// makeTunnel makes the layer 3 device the tunnel that the handler asks for. The
// link that the tunnel leaves through is named by its interface, or is a device.
func (c *Core) makeTunnel(m *iface.Machine, l3 string) {
	o := m.Offer()
	if o == nil || o.Tunnel == nil {
		return
	}
	t := o.Tunnel
	below := uint32(0)
	if t.Link != "" {
		dev := t.Link
		if i := c.ifaces[t.Link]; i != nil {
			dev = i.L3Device()
		}
		made := c.graph.State(l3).Config != nil
		if below = c.ifindex(dev); below == 0 && made {
			return // it stays as it is until that comes back
		}
		if below == 0 {
			c.log(levelWarn, "the link below a tunnel is not there: routes choose one", "interface", m.Config.Name, "link", t.Link)
		}
	}
	d := &config.Device{Name: l3, Type: config.Tunnel, Implied: true, Kind: t.Kind, Data: t.Data(below)}
	if t.MTU != 0 {
		d.Settings.Link.MTU = t.MTU
		d.Settings.Fields |= rtnl.LinkMTU
	}
	if t.MAC.Len != 0 {
		d.Settings.Link.Addr = t.MAC
		d.Settings.Fields |= rtnl.LinkAddr
	}
	if !c.graph.SetTunnel(d) {
		c.log(levelWarn, "a tunnel has the name of a configured device", "interface", m.Config.Name, "device", l3)
	}
}
