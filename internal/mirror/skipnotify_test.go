package mirror_test

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// TestSilentIPv6Routes: with skip_notify_on_dev_down (which routing daemons ask
// for) the IPv6 routes of a link that goes down go without a word.
func TestSilentIPv6Routes(t *testing.T) {
	for _, skip := range []string{"1", "0"} {
		t.Run(skip, func(t *testing.T) {
			ns := nstest.New(t)
			if out, err := ns.Try("sysctl", "-w", "net.ipv6.route.skip_notify_on_dev_down="+skip); err != nil {
				t.Fatal(err, out)
			}
			for _, op := range []string{"link set lo up", "link add va type veth peer name vb", "link set va up", "link set vb up",
				"link add vc type veth peer name vd", "link set vc up", "link set vd up",
				"addr add 2001:db8:1::1/64 dev va nodad", "addr add 2001:db8:2::1/64 dev vc nodad",
				"route add 2001:db8:10::/48 dev va", "route add 2001:db8:11::/48 via 2001:db8:1::9", "route add blackhole 2001:db8:12::/48",
				"route add 2001:db8:13::/48 nexthop via 2001:db8:1::9 nexthop via 2001:db8:2::9"} {
				ns.IP(op)
			}
			time.Sleep(100 * time.Millisecond)
			r := newRig(t, ns, 1, 1<<20)
			r.settle()
			for _, op := range []string{"link set va down", "link set va up", "route add 2001:db8:10::/48 dev va", "link set vc down", "link set va down",
				"link set va up", "link set vc up", "link set lo down", "link set lo up", "link del va"} {
				ns.IP(op)
				if d := r.lateDifference(); len(d) > 0 {
					t.Fatalf("after %s the mirror differs from the kernel:\n%s", op, strings.Join(d, "\n"))
				}
			}
		})
	}
}
