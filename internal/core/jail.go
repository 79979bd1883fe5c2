package core

// Move is a link that changes its network namespace, and its name with it.
type Move struct{ Interface, Name, As string }

// Jail finds the links that go into the network namespace of a container when
// that starts, and come back when it stops (option jail). The shell moves them:
// only it has the namespace.
type Jail struct {
	Name  string // of the jail; empty at the end: of any
	Start bool
	Moves []Move // answer
}

func (r *Jail) do(c *Core) Status {
	if r.Start && r.Name == "" {
		return InvalidArgument
	}
	for _, n := range sortedKeys(c.ifaces) {
		cfg := c.ifaces[n].Config
		dev := cfg.Device
		if cfg.Jail == "" || r.Name != "" && cfg.Jail != r.Name || dev == "" || dev[0] == '@' {
			continue
		}
		inside, outside := cfg.JailDevice, cfg.HostDevice
		if inside == "" {
			inside = dev
		}
		if outside == "" {
			outside = dev
		}
		switch {
		case !r.Start:
			r.Moves = append(r.Moves, Move{n, inside, outside})
		case c.mirror.LinkByName(dev) != nil:
			r.Moves = append(r.Moves, Move{n, dev, inside})
		default:
			c.log(levelWarn, "the device of a jail is not there", "jail", cfg.Jail, "interface", n, "device", dev)
		}
	}
	return OK
}
