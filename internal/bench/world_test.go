package bench

import (
	"os"
	"strconv"
	"testing"

	"netbraid/internal/nstest"
)

const (
	million = 1_000_000
	rounds  = 5 // of every comparison
)

// routesWanted is the size of the world.
func routesWanted() int {
	if n, err := strconv.Atoi(os.Getenv("NETBRAID_BENCH_ROUTES")); err == nil && n >= 100 {
		return n / 10 * 10
	}
	return million
}

// world is a namespace with a table of routes over one link, a link to change,
// and who changes the routes.
type world struct {
	ns     *nstest.NS
	routes int
	feed   *child
}

func newWorld(t testing.TB, routes int) *world {
	t.Helper()
	w := &world{ns: nstest.New(t), routes: routes}
	// No IPv6: its addresses become valid, and bring routes, when they like.
	w.ns.Run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	for _, line := range []string{"link set lo up",
		"link add va type veth peer name vb", "link set va up", "link set vb up",
		"link add vc type veth peer name vd", "link set vc up", "link set vd up",
		"addr add 10.0.0.1/16 dev va"} {
		w.ns.IP(line)
	}
	w.feed = startRole(t, w.ns, "feed")
	w.feed.ask("open %d %d", w.index("va"), routes)
	w.feed.ask("fill")
	return w
}

func (w *world) index(dev string) int {
	return int(w.ns.JSON("link show dev " + dev)[0]["ifindex"].(float64))
}

// model starts a mirror that has learned the world.
func (w *world) model(t testing.TB, rcvbuf int) *child {
	t.Helper()
	c := startRole(t, w.ns, "model")
	if r := c.ask("learn %d", rcvbuf); r.N < int64(w.routes) {
		t.Fatalf("the mirror has learned %d of %d routes", r.N, w.routes)
	}
	return c
}

// samples collects one number of each round.
type samples map[string][]float64

func (s samples) add(name string, v float64) { s[name] = append(s[name], v) }

// perRoute adds the CPU time of a reply for each of n objects, in ns.
func (s samples) perRoute(name string, r reply, n int) { s.add(name, float64(r.CPU)/float64(n)) }
