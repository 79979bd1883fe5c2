package conformance

import (
	"testing"
	"time"

	"netbraid/internal/dataplane"
)

// testConnect: Connect is answered once, by Up with what the dataplane is.
func testConnect(c *client) {
	c.connect()
	if c.caps.MaxPaths < 16 || c.caps.Version == "" {
		c.Errorf("capabilities: %+v", c.caps)
	}
	for {
		e := c.take(quiet)
		if e == nil {
			return
		}
		switch e.(type) {
		case dataplane.Up, dataplane.Down:
			c.Errorf("Connect was answered twice: %+v", e)
		}
	}
}

// testConnectAgain: a new connection ends the old one; nothing of the old one
// comes after its Up, and what was written is there.
func testConnectAgain(c *client) {
	c.connect()
	i := c.phy("phy0", true)
	c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: i, Value: 1400})
	for range 5 {
		c.dp.Dump(c.epoch, dataplane.KindInterface) // in flight, or not begun
		c.connect()
		if got := c.iface("phy0"); got.MTU != 1400 { // until checks the epochs
			c.Errorf("after a new connection: %+v", got)
		}
	}
}

// testClose: nothing comes after Close, and what was written stays.
func testClose(c *client) {
	c.connect()
	i := c.phy("phy0", false)
	c.write(dataplane.Op{Kind: dataplane.SetMTU, Index: i, Value: 1400})
	c.dp.Dump(c.epoch, dataplane.KindInterface)
	c.close()
	time.Sleep(quiet)
	c.mu.Lock()
	late := c.late
	c.mu.Unlock()
	if late > 0 {
		c.Errorf("%d events came after Close", late)
	}
	second := newClient(c.T, c.w).connect()
	if got := second.iface("phy0"); got.MTU != 1400 {
		c.Errorf("a new client sees %+v", got)
	}
}

// testEmptyDumps: every kind can be dumped when there is nothing.
func testEmptyDumps(c *client) {
	c.connect()
	for _, k := range dataplane.Kinds {
		all := c.dump(k)
		if n := len(all.pairs) + len(all.tables) + len(all.addrs) + len(all.neighs) + len(all.locals) + len(all.routes); n > 0 {
			c.Errorf("an empty dataplane has %v: %+v", k, all)
		}
	}
}

// testRestartKeeping: the end of the dataplane is told; after it the state that
// it kept is dumped.
func testRestartKeeping(c *client) {
	c.restartable(true)
	c.connect()
	r := c.routed()
	c.write(r.set("10.1.0.0/16", r.via(2)))
	c.w.Restart(true)
	c.down()
	c.reconnect()
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)))
}

// testRestartEmpty: after a restart without state the dumps are empty, and all
// can be written again.
func testRestartEmpty(c *client) {
	c.restartable(false)
	c.connect()
	r := c.routed()
	c.write(r.set("10.1.0.0/16", r.via(2)))
	c.w.Restart(false)
	c.down()
	c.reconnect()
	for _, k := range []dataplane.Kind{dataplane.KindPair, dataplane.KindAddr, dataplane.KindLocal, dataplane.KindRoute} {
		if all := c.dump(k); len(all.pairs)+len(all.addrs)+len(all.locals)+len(all.routes) > 0 {
			c.Errorf("after a restart without state: %v: %+v", k, all)
		}
	}
	r = c.address() // the phys are there, perhaps under another index
	c.write(r.set("10.1.0.0/16", r.via(2)))
	c.holdsRoutes(r.route("10.1.0.0/16", r.via(2)))
}

func (c *client) restartable(keep bool) {
	c.Helper()
	if c.w.Restart == nil || c.w.CanRestart != nil && !c.w.CanRestart(keep) {
		c.Skipf("this world cannot restart its dataplane (keeping state: %v)", keep)
	}
}

var _ testing.TB = (*client)(nil)
