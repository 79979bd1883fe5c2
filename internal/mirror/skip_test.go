package mirror_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// TestDumpThatSkips: a deletion between two parts of a dump makes the kernel
// leave out routes that were there all the time. IPv4 counts off the routes of a
// leaf of its trie (fn_trie_dump_leaf, net/ipv4/fib_trie.c), IPv6 all of a table
// when it starts over (fib6_dump_table, net/ipv6/ip6_fib.c).
func TestDumpThatSkips(t *testing.T) {
	const n = 3000
	four := func(i int) string { return fmt.Sprintf("route %%s 10.7.0.0/16 dev va metric %d", i) }
	six := func(i int) string { return fmt.Sprintf("-6 route %%s 2001:db8:%x::/48 dev va metric 1024", i) }
	for _, c := range []struct {
		name   string
		route  func(i int) string
		change []string
		known  bool
	}{
		{"IPv4, unknown", four, []string{fmt.Sprintf(four(1), "del")}, false},
		{"IPv4, known", four, []string{fmt.Sprintf(four(1), "del")}, true},
		{"IPv6, unknown", six, []string{fmt.Sprintf(six(1), "del"), fmt.Sprintf(six(0xffff), "add")}, false},
		{"IPv6, known", six, []string{fmt.Sprintf(six(1), "del"), fmt.Sprintf(six(0xffff), "add")}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ns := nstest.New(t)
			for _, op := range []string{"link add va type veth peer name vb", "link set va up", "link set vb up"} {
				ns.IP(op)
			}
			var script strings.Builder
			for i := 1; i <= n; i++ {
				fmt.Fprintf(&script, c.route(i)+"\n", "add")
			}
			file := t.TempDir() + "/batch"
			writeFile(t, file, strings.ReplaceAll(script.String(), "-6 ", ""))
			r := newRig(t, ns, 1, 64<<20)
			add := func() {
				if c.name[3] == '6' {
					ns.Try("ip", "-6", "-batch", file)
				} else {
					ns.Try("ip", "-batch", file)
				}
			}
			if c.known {
				add()
				r.settle()
				r.e.Refresh(rtnl.KindRoute)
			} else {
				r.settle()
				add()
				r.take()
				r.inbox = nil
				r.e.Lost(r.now(), r.epoch)
			}
			r.requests()
			r.requests() // subscribed: the dumps
			r.part(rtnl.KindRoute)
			for _, op := range c.change {
				ns.IP(op)
			}
			if d := r.difference(); len(d) > 0 {
				t.Errorf("the mirror differs from the kernel:\n%s", strings.Join(d, "\n"))
			}
		})
	}
}

// part hands on the first part of a dump, and leaves it there.
func (r *rig) part(k rtnl.Kind) {
	r.t.Helper()
	i := slices.IndexFunc(r.dumps, func(d *dumpRun) bool { return d.req.Dump == k })
	if i < 0 || !r.advance(i, time.Second) {
		r.t.Fatalf("no dump of %s", k)
	}
	time.Sleep(20 * time.Millisecond) // its reader has the next part, and waits
}
