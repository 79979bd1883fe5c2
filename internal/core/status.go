package core

import (
	"fmt"

	"netbraid/internal/config"
	"netbraid/internal/iface"
)

// Interface returns an interface by name, nil when there is none.
func (c *Core) Interface(name string) *iface.Machine { return c.ifaces[name] }

// Interfaces lists the names of all interfaces, sorted.
func (c *Core) Interfaces() []string { return sortedKeys(c.ifaces) }

// Routes lists the configured routes of an interface.
func (c *Core) Routes(name string) []*config.Route { return c.routes[name] }

// IsSettled tells whether the first configuration is in place as far as it
// can be.
func (c *Core) IsSettled() bool { return c.settled }

// WhyAbsent says why an interface has no device, in words.
func (c *Core) WhyAbsent(m *iface.Machine) string {
	if on := c.missing(m); on != "" {
		if c.ifaces[on] == nil {
			return "it depends on interface " + on + ", which is not there"
		}
		return "it depends on interface " + on + ", which is not up"
	}
	if m.HostLost() {
		return c.whyNoWay(m.Config.Name)
	}
	if f := m.Flags(); f.External && f.NoDevice {
		return "the protocol handler says that it cannot run now"
	}
	if p := parentOf(m.Config); p != "" && m.Device() == "" {
		if c.ifaces[p] == nil {
			return "there is no interface " + p
		}
		return "interface " + p + " is not up"
	}
	dev := m.Device()
	if dev == "" {
		return "the section has no option device"
	}
	s := c.graph.State(dev)
	switch cfg := s.Config; {
	case cfg != nil && cfg.Disabled:
		return "device " + dev + " is switched off (option enabled 0)"
	case cfg != nil && cfg.Type == config.Bridge:
		return "bridge " + dev + " has no port that is there (option bridge_empty 1 brings it up without)"
	case cfg != nil && (cfg.Type == config.OpenVSwitch || cfg.Type == config.VPort && !cfg.Exists()):
		return c.whyNoSwitch(cfg)
	case cfg != nil && cfg.Parent != "":
		return fmt.Sprintf("device %s needs %s, which is not there", dev, cfg.Parent)
	}
	return "there is no device " + dev
}
