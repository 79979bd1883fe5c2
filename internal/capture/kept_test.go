package capture

import (
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/ubus"
)

// now makes the dump anew, on the daemon's loop, and gives the version that it
// is of.
func (w *world) now() (dump string, version uint64) {
	w.t.Helper()
	done := make(chan struct{})
	w.daemon.Call(func(c *core.Core, now time.Time) {
		dump, version = show(api.Dump(c, now)), c.Version()
		close(done)
	})
	<-done
	return dump, version
}

var uptime = regexp.MustCompile(`"uptime":\d+`)

// TestKeptAnswers: whatever happens in the kernel and on the bus, an answer is
// what would be made at that moment.
func TestKeptAnswers(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	rng := rand.New(rand.NewPCG(5, 5))
	one := func(path, method, args string) func() { // what it answers is no matter here
		return func() { w.try(path, method, fromJSON(t, []byte(args))) }
	}
	ip := func(line string) func() { return func() { w.ns.Try("sh", "-c", "ip "+line) } }
	do := []func(){
		one("network.interface.wan", "down", `{}`), one("network.interface.wan", "up", `{}`), one("network.interface.lan", "restart", `{}`),
		one("network.interface.wan", "set_data", `{"a":1}`), one("network", "add_dynamic", `{"name":"dyn","proto":"static","device":"@lan","ipaddr":["10.77.0.1/24"]}`),
		one("network.interface.dyn", "remove", `{}`), one("network.interface.lan", "add_device", `{"name":"eth3"}`),
		one("network.interface.plug", "add_device", `{"name":"eth4","link-ext":false}`), one("network.interface.plug", "remove_device", `{"name":"eth4"}`),
		one("network", "add_host_route", `{"target":"9.9.9.9"}`), one("network", "reload", `{}`),
		ip("link set eth1 down"), ip("addr del 192.168.1.1/24 dev br-lan"), ip("route add 198.51.100.0/24 via 192.168.1.9"), ip("route del 198.51.100.0/24"),
		func() { w.far.IP("link set peer1 down") }, func() { w.far.IP("link set peer1 up") },
	}
	compared := 0
	for range 250 {
		do[rng.IntN(len(do))]()
		for range 3 {
			before, v1 := w.now()
			got := show(w.call(ubus.StatusOK, "network.interface", "dump", nil))
			after, v2 := w.now()
			if v1 != v2 || before != after {
				continue // something has happened meanwhile, or a second is over
			}
			compared++
			if got != before {
				t.Fatalf("version %d: the answer is\n%s\nand would be\n%s", v1, got, before)
			}
			for _, e := range byName(w.call(ubus.StatusOK, "network.interface", "dump", nil)) {
				st, code := w.try("network.interface."+e.Name, "status", nil)
				if _, v := w.now(); code == ubus.StatusOK && v == v1 && uptime.ReplaceAllString(show(st), "") != uptime.ReplaceAllString(show(e.Value.(ubus.Table)[1:]), "") {
					t.Fatalf("version %d: status of %s is\n%s\nand in the dump\n%s", v1, e.Name, show(st), show(e.Value))
				}
			}
		}
	}
	if compared < 100 {
		t.Errorf("only %d answers could be compared", compared)
	}
}
