package device

import "netbraid/internal/config"

// SetTunnel makes a device that is used a tunnel of that configuration, as long
// as it is used; a configuration read again does not change that. false, and
// nothing is changed, when a section says what the device is.
func (g *Graph) SetTunnel(c *config.Device) bool {
	d := g.devs[c.Name]
	if d == nil || d.cfg != nil && d.cfg.Type != config.Tunnel {
		return false
	}
	if d.cfg != nil && sameTunnel(d.cfg, c) {
		return true
	}
	g.setConfig(d, c)
	g.run()
	return true
}

func sameTunnel(a, b *config.Device) bool {
	return a.Kind == b.Kind && a.Data == b.Data && a.Settings.Equal(&b.Settings)
}
