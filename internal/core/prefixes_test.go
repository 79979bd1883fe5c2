package core

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"netbraid/internal/iface"
)

// FuzzSubnetMemory: whatever an earlier process has written down, or somebody
// else, nothing is taken over that cannot be so, and assignment goes on.
func FuzzSubnetMemory(f *testing.F) {
	f.Add([]byte(`{"Prefixes":[{"Prefix":"2001:db8::/48","Assigned":[{"Interface":"lan","Subnet":"2001:db8::/60","Wanted":60}]}],
		"IDs":{"lan":7},"Lingers":[{"Interface":"lan","Addr":"2001:db8:1::1/64","Until":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"Prefixes":[{"Prefix":"::/0"},{"Prefix":"10.0.0.0/8"},{"Prefix":"::ffff:1.2.3.4/100","Assigned":[{"Subnet":"ff00::/8"}]}]}`))
	f.Add([]byte(`{"Prefixes":[{"Prefix":"2001:db8::/48","Assigned":[{"Interface":"lan","Subnet":"2001:db8::/128"},{"Interface":"lan"}]}]}`))
	now := time.Unix(1767225600, 0)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m SubnetMemory
		if json.Unmarshal(b, &m) != nil {
			return
		}
		c := New(Options{Subnets: &m})
		c.now = now
		if len(c.prefixes.memory) > maxRemembered || len(c.prefixes.lingers) > maxLingers {
			t.Fatal("too much is taken over")
		}
		for _, p := range append([]netip.Prefix{netip.MustParsePrefix("2001:db8::/48")}, prefixesOf(c.prefixes.memory)...) {
			out, unmet := iface.Assign(p, netip.Prefix{}, []iface.PrefixRequest{{Interface: "lan", Length: 60}, {Interface: "b", Length: 64}}, c.prefixes.before(p))
			if len(out)+len(unmet) != 2 {
				t.Fatalf("%v %v", out, unmet)
			}
			for i, a := range out {
				if !p.Contains(a.Subnet.Addr()) || a.Subnet.Bits() < p.Bits() || i > 0 && a.Subnet.Overlaps(out[0].Subnet) {
					t.Fatalf("%v of %s", out, p)
				}
			}
		}
		c.linger(nil)
		for _, l := range c.prefixes.lingers {
			t.Fatalf("%+v lingers on no interface", l)
		}
	})
}

func prefixesOf(list []RememberedPrefix) (out []netip.Prefix) {
	for _, r := range list {
		out = append(out, r.Prefix)
	}
	return out
}
