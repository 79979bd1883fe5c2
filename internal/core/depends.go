package core

import (
	"netbraid/internal/config"
	"netbraid/internal/iface"
)

// configureDepends notes who depends on whom (option depends).
func (c *Core) configureDepends(next *config.Config) {
	c.dependents = map[string][]string{}
	for _, ic := range next.Interfaces {
		for _, on := range ic.Depends {
			c.dependents[on] = append(c.dependents[on], ic.Name)
		}
	}
}

// missing gives the first interface that another depends on and that is not
// up; empty when there is none.
func (c *Core) missing(m *iface.Machine) string {
	for _, on := range m.Config.Depends {
		if lower := c.ifaces[on]; lower == nil || lower.State() != iface.Up {
			return on
		}
	}
	return ""
}

// checkDependents has the interfaces looked at for which the state of
// interface n makes a difference now.
func (c *Core) checkDependents(n string) {
	for _, d := range c.dependents[n] {
		if m := c.ifaces[d]; m != nil && m.Waiting() != (c.missing(m) != "") {
			c.check[d] = true
		}
	}
}
