package core

import (
	"cmp"
	"slices"
	"strings"

	"netbraid/internal/config"
	"netbraid/internal/pair"
)

// Left is what was made on a dataplane that is not configured any more and has
// not been taken apart: the dataplane was out of reach, or refused it. It is
// tried again with the next start or reload.
type Left struct {
	Dataplane, Type, Place string
	Pairs                  []string // the interfaces, sub-interfaces with their tags
	Reason                 string
}

// ParseMadeKey gives the dataplane that something is remembered under; ok is
// false for a key that madeKey has not made.
func ParseMadeKey(key string) (d *config.Dataplane, ok bool) {
	f := strings.SplitN(key, " ", 3)
	if len(f) != 3 || !strings.HasPrefix(f[2], "/") {
		return nil, false
	}
	d = &config.Dataplane{Name: f[0], Type: f[1], Window: config.DefaultWindow}
	switch d.Type {
	case config.VPP:
		d.Socket = f[2]
	case config.NetNS:
		d.NetNS = f[2]
	default:
		return nil, false
	}
	return d, true
}

// LeftBehind lists what is left behind on dataplanes.
func (c *Core) LeftBehind() (out []Left) {
	for _, key := range c.oldMade() {
		d, _ := ParseMadeKey(key)
		out = append(out, Left{Dataplane: d.Name, Type: d.Type, Place: d.Place(), Pairs: MadeNames(c.made[key]), Reason: c.behind[key]})
	}
	return out
}

// MadeNames are the interfaces of what has been made.
func MadeNames(made []pair.Made) (names []string) {
	for _, m := range made {
		names = append(names, m.Interface())
	}
	return names
}

// oldMade has the keys of what is remembered of dataplanes that are neither
// configured nor in use any more, in order.
func (c *Core) oldMade() (keys []string) {
	for _, key := range sortedKeys(c.made) {
		if _, ok := ParseMadeKey(key); !ok || slices.ContainsFunc(c.planes, func(p *Plane) bool { return madeKey(p.Config) == key }) {
			continue
		}
		if c.cfg == nil || !slices.ContainsFunc(c.cfg.Dataplanes, func(d *config.Dataplane) bool { return madeKey(d) == key }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// leaveOld takes apart what was made on dataplanes that are not configured any
// more. When sections are missing because they are wrong it may belong to one of
// them, and nothing is done.
func (c *Core) leaveOld() {
	for _, key := range c.oldMade() {
		if c.partial {
			c.behind[key] = "the configuration has errors: nothing is taken apart before it is right"
			continue
		}
		d, _ := ParseMadeKey(key)
		if c.leaving(d) {
			continue // remembered under two names: the first has taken over the other
		}
		c.log(levelInfo, "taking apart what was made on a dataplane that is not configured any more", "dataplane", d.Name, "type", d.Type,
			"place", d.Place(), "pairs", len(c.made[key]))
		c.leavePlane(c.openPlane(d, true))
	}
}

// left says what has become of the pairs of a dataplane that is left.
func (c *Core) left(p *Plane) {
	key := madeKey(p.Config)
	made := c.made[key]
	if len(made) > 0 && p.Config.Type == config.NetNS && p.Pairs.Absent() {
		c.log(levelInfo, "what was made on a dataplane has gone with its namespace", "dataplane", p.Config.Name, "place", p.Config.NetNS,
			"pairs", strings.Join(MadeNames(made), " "))
		made = nil
		c.rememberMade(key, nil)
	}
	if len(made) == 0 {
		delete(c.behind, key)
		return
	}
	why := whyLeft(p.Pairs.Status(c.now))
	if c.behind[key] == why {
		return
	}
	c.behind[key] = why
	c.log(levelWarn, "pairs are left behind on a dataplane; the next start or reload tries again to take them apart", "dataplane", p.Config.Name,
		"place", p.Config.Place(), "pairs", strings.Join(MadeNames(made), " "), "error", why)
}

// whyLeft says why pairs have not been taken apart: what was refused, or why
// there is no connection.
func whyLeft(st pair.Status) string {
	for _, x := range st.Pairs {
		for _, e := range x.Errors {
			return e.Object + ": " + e.Message
		}
	}
	return cmp.Or(st.Err, "it has not answered within "+leaveMax.String())
}

// rememberMade notes what has been made on a dataplane.
func (c *Core) rememberMade(key string, made []pair.Made) {
	if c.made[key] = made; len(made) == 0 {
		delete(c.made, key)
	}
	c.act(SaveMade{key, made})
}

// madeOn gives what has been made on a dataplane. What is remembered of it under
// another name is taken over: what of that is still wanted stays as it is.
func (c *Core) madeOn(d *config.Dataplane) []pair.Made {
	key := madeKey(d)
	for _, old := range c.oldMade() {
		o, _ := ParseMadeKey(old)
		if old == key || !sameDataplane(o, d) {
			continue
		}
		made := slices.Clone(c.made[key])
		for _, m := range c.made[old] {
			if !slices.ContainsFunc(made, func(x pair.Made) bool { return x.Phy == m.Phy && x.Sub == m.Sub }) {
				made = append(made, m)
			}
		}
		c.rememberMade(key, made)
		c.rememberMade(old, nil)
		delete(c.behind, old)
	}
	return c.made[key]
}
