package core

import (
	"slices"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Space is a network namespace that is mirrored besides the daemon's own, for
// as long as somebody uses it.
type Space struct {
	NS     model.NS
	Path   string // file of the namespace
	Mirror *mirror.Engine
	users  map[string]bool
	params mirror.Params
}

// UseNS begins (with its first user) or goes on to mirror the namespace at
// path. Changed limits take effect when it is begun anew.
func (c *Core) UseNS(path, user string, p mirror.Params) *Space {
	s := c.spaceAt(path)
	if s == nil {
		c.lastNS++
		s = &Space{NS: c.lastNS, Path: path, users: map[string]bool{}, params: p}
		s.Mirror = mirror.New(s.NS, p, fanOut{c})
		c.spaces = append(c.spaces, s)
		c.act(OpenNS{NS: s.NS, Path: path, Params: s.Mirror.Params()})
		s.Mirror.Start(c.now)
	}
	s.users[user] = true
	return s
}

// DropNS ends a use; with the last one the mirror goes.
func (c *Core) DropNS(path, user string) {
	s := c.spaceAt(path)
	if s == nil || !s.users[user] {
		return
	}
	if delete(s.users, user); len(s.users) > 0 {
		return
	}
	c.spaces = slices.DeleteFunc(c.spaces, func(x *Space) bool { return x == s })
	delete(c.unopened, s.NS)
	c.act(CloseNS{NS: s.NS})
}

func (c *Core) space(ns model.NS) *Space {
	for _, s := range c.spaces {
		if s.NS == ns {
			return s
		}
	}
	return nil
}

func (c *Core) spaceAt(path string) *Space {
	for _, s := range c.spaces {
		if s.Path == path {
			return s
		}
	}
	return nil
}

// Spaces lists the namespaces that are mirrored besides the daemon's own, in
// the order in which they came.
func (c *Core) Spaces() []*Space {
	return slices.Clone(c.spaces)
}

// engine gives the mirror of a namespace; nil for one that has gone.
func (c *Core) engine(ns model.NS) *mirror.Engine {
	if ns == 0 {
		return c.mirror
	}
	if s := c.space(ns); s != nil {
		return s.Mirror
	}
	return nil
}

// configureMirrors uses the namespaces that the configuration names. One whose
// limits have changed is begun anew; those of the daemon's own namespace take
// effect with its next notification socket.
func (c *Core) configureMirrors(old, next *config.Config) {
	const user = "configuration"
	for _, o := range old.Mirrors {
		if o.NetNS == "" {
			continue
		}
		if n := mirrorOf(next, o.NetNS); n == nil || mirrorParams(n, c.seed) != mirrorParams(o, c.seed) {
			c.DropNS(o.NetNS, user)
		}
	}
	own := mirror.Params{Seed: c.seed}
	for _, n := range next.Mirrors {
		if n.NetNS != "" {
			c.UseNS(n.NetNS, user, mirrorParams(n, c.seed))
		} else {
			own = mirrorParams(n, c.seed)
		}
	}
	if c.mirror.SetParams(own) {
		c.act(OpenNS{Params: c.mirror.Params()})
	}
}

func mirrorOf(c *config.Config, netns string) *config.Mirror {
	for _, m := range c.Mirrors {
		if m.NetNS == netns {
			return m
		}
	}
	return nil
}

func mirrorParams(m *config.Mirror, seed uint64) mirror.Params {
	return mirror.Params{RxBufferSize: m.RxBufferSize, TxBufferSize: m.TxBufferSize, BatchSize: m.BatchSize, BatchTime: m.BatchTime,
		BatchDelay: m.BatchDelay, SyncBatchLimit: m.SyncBatchLimit, SyncBatchDelay: m.SyncBatchDelay,
		SyncAttemptDelay: m.SyncAttemptDelay, Seed: seed}
}

// tickMirrors lets every mirror go on with its work.
func (c *Core) tickMirrors() {
	c.mirror.Tick(c.now)
	for _, s := range c.spaces {
		s.Mirror.Tick(c.now)
	}
}

// mirrorDeadline is the earliest of the mirrors'.
func (c *Core) mirrorDeadline(add func(time.Time)) {
	add(c.mirror.Deadline())
	for _, s := range c.spaces {
		add(s.Mirror.Deadline())
	}
}

// mirrorRequests hands on what the mirrors ask for.
func (c *Core) mirrorRequests() {
	c.requests(c.mirror)
	for _, s := range c.spaces {
		c.requests(s.Mirror)
	}
}

func (c *Core) requests(e *mirror.Engine) {
	for _, r := range e.Requests() {
		if r.Subscribe {
			c.act(Subscribe{r.NS, r.Epoch})
		} else {
			c.act(Dump{r.NS, r.Epoch, r.Dump, r.Family})
		}
	}
}

// lost starts a synchronisation. A namespace that cannot be opened (yet) is
// lost as well; the shell says why.
func (c *Core) lost(ev Lost) {
	e := c.engine(ev.NS)
	if e == nil {
		return
	}
	name, why := "default", ""
	if ev.NS != 0 {
		name = c.space(ev.NS).Path
	}
	if ev.Err != nil {
		why = ev.Err.Error()
	}
	switch {
	case why == "":
		c.log(levelWarn, "netlink notifications lost; reading the tables again", "netns", name)
	case why != c.unopened[ev.NS]:
		c.log(levelWarn, "network namespace cannot be mirrored; trying again", "netns", name, "error", why)
	}
	c.unopened[ev.NS] = why
	if why != "" {
		e.Unopened(c.now, ev.Epoch)
		return
	}
	e.Lost(c.now, ev.Epoch)
}

// Unopened says why a namespace cannot be mirrored now; empty when it is.
func (c *Core) Unopened(ns model.NS) string {
	if e := c.engine(ns); e == nil || e.Live(rtnl.KindLink) {
		return ""
	}
	return c.unopened[ns]
}
