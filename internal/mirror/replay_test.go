package mirror_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// TestReplay changes the routes of one key several times while the table is
// read, and lets the dump read the key at every moment in between: wherever it
// was, what waited must lead to what the kernel has. REPLAYS is the number of
// seeds.
func TestReplay(t *testing.T) {
	seeds := uint64(envInt(t, "REPLAYS", 150))
	const changes = 6
	for seed := uint64(1); seed <= seeds; seed++ {
		for at := range changes + 1 {
			w := newSimWorld(seed, nil)
			w.kern.Subscribe(rigGroups...)
			w.e.Start(w.now)
			w.check()
			if err := w.converge(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := w.replayAt(at, changes); err != nil {
				t.Fatalf("seed %d, %d changes, the dump after %d: %v", seed, changes, at, err)
			}
		}
	}
}

// replayAt makes changes while routes are read, at of them before the dump.
func (w *simWorld) replayAt(at, changes int) error {
	w.e.Refresh(rtnl.KindRoute)
	for _, q := range w.requests() {
		w.dumps = append(w.dumps, &simDump{req: q})
	}
	var shown [][]byte
	for i := range changes + 1 {
		if i == at {
			objects, err := w.read(rtnl.KindRoute)
			if err != nil {
				return err
			}
			for _, o := range objects {
				shown = append(shown, o.message)
			}
		}
		if i < changes {
			w.p.sameKey(w.rng.IntN(2) == 0)
		}
	}
	w.listen(1 << 30)
	w.hand(len(w.inbox))
	for _, b := range shown {
		w.e.Dumped(w.epoch, b)
	}
	w.end(0, true, false)
	return w.converge()
}

// sameKey changes the routes of one key.
func (p *producer) sameKey(six bool) {
	gw := net4(p.IntN(pairs), 100)
	r := rtnl.Route{Family: unix.AF_INET, Dst: netip.MustParsePrefix("10.200.0.0/16")}
	if six {
		gw = net6(p.IntN(pairs), 100)
		r = rtnl.Route{Family: unix.AF_INET6, Dst: netip.MustParsePrefix("2001:db8:ffff::/48")}
	}
	switch {
	case p.IntN(6) == 0 && !six:
		r.Type = unix.RTN_BLACKHOLE
	case p.IntN(4) == 0:
		r.Multipath = rtnl.AppendHops([]rtnl.Hop{{Gateway: gw}, {Gateway: otherHost(gw)}})
	default:
		r.Gateway = gw
	}
	p.putRoute(&r)
	p.flush()
}

func otherHost(ip netip.Addr) netip.Addr { return ip.Next() }
