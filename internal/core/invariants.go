package core

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/iface"
	"netbraid/rtnl"
)

// CheckInvariants tells which of the core's promises do not hold now. Tests
// call it after every step.
func (c *Core) CheckInvariants() error {
	errs := []error{c.graph.CheckInvariants()}
	links, objects := c.planner.Wanted()
	wanted := map[string]bool{}
	for _, w := range links {
		wanted[w.Name] = true
		s := c.graph.State(w.Name)
		if s.Claims == 0 {
			errs = append(errs, fmt.Errorf("link %s is wanted though nobody claims the device", w.Name))
		}
		if !s.External && (w.Set&rtnl.LinkUp == 0 || w.Link.Flags&unix.IFF_UP == 0) {
			errs = append(errs, fmt.Errorf("link %s is claimed and not wanted up", w.Name))
		}
	}
	if c.live && c.cfg != nil {
		for _, n := range c.graph.Names() {
			if s := c.graph.State(n); s.Claims > 0 && s.Present && !wanted[n] {
				errs = append(errs, fmt.Errorf("device %s is claimed and its link is not wanted", n))
			}
		}
	}
	for n, m := range c.ifaces {
		errs = append(errs, c.checkMachine(n, m, objects[m.User()] != nil))
		if !c.check[n] && (c.dns.of[n] != m.HasDNS() || c.prefixes.of[n] != m.HasPrefixes()) {
			errs = append(errs, fmt.Errorf("interface %s has changed what it has for the resolver or of prefixes, and nobody has noted it", n))
		}
	}
	for owner, o := range objects {
		if owner == "routes" {
			continue
		}
		name := owner[len("interface "):]
		if c.ifaces[name] == nil && len(o.Addrs)+len(o.Routes)+len(o.Rules)+len(o.Neighs) > 0 {
			errs = append(errs, fmt.Errorf("objects are wanted for %s, which is no interface", name))
		}
	}
	errs = append(errs, c.prefixes.check(), c.checkSwitches(), c.planner.CheckInvariants())
	return errors.Join(errs...)
}

func (c *Core) checkMachine(n string, m *iface.Machine, owns bool) error {
	if err := c.checkHelpers(n, m); err != nil {
		return err
	}
	switch m.State() {
	case iface.Down, iface.TearingDown:
		if m.State() == iface.TearingDown && m.Flags().External {
			break // its programs may need what they have until they have ended
		}
		if owns && !c.dirty[n] {
			return fmt.Errorf("interface %s is %s and still wants objects", n, m.State())
		}
		if m.Offer() != nil {
			return fmt.Errorf("interface %s is %s and still has an offer", n, m.State())
		}
	case iface.Up:
		if on := c.missing(m); on != "" {
			return fmt.Errorf("interface %s is up and %s, which it depends on, is not", n, on)
		}
		l3 := m.L3Device()
		if l3 == "" && !m.Flags().NoDevice {
			return fmt.Errorf("interface %s is up without a layer 3 device", n)
		}
		if l3 != "" && !c.graph.Present(l3) {
			return fmt.Errorf("interface %s is up and its layer 3 device %s is not present", n, l3)
		}
	}
	return nil
}
