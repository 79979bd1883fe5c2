package iface

import (
	"net/netip"
	"testing"

	"netbraid/internal/config"
	"netbraid/internal/proto"
)

func ips(list ...string) (out []netip.Addr) {
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

// TestResolvConf: order, own before the protocol's, peerdns, link-local
// servers, and only what is up.
func TestResolvConf(t *testing.T) {
	up := func(c *config.Interface, device string, dns []netip.Addr, search ...string) *Machine {
		return &Machine{Config: c, state: Up, device: device, offer: &proto.Offer{DNS: dns, DNSSearch: search}}
	}
	late := &config.Interface{Name: "late", DNSMetric: 5, PeerDNS: true}
	metric := &config.Interface{Name: "a-metric", Metric: 7, PeerDNS: true, DNS: ips("9.9.9.9")}
	own := &config.Interface{Name: "own", PeerDNS: true, DNS: ips("8.8.8.8", "8.8.8.8", "1.1.1.1"), DNSSearch: []string{"example.org"}}
	off := &config.Interface{Name: "off", DNS: ips("fe80::1", "2001:db8::53")}
	down := &Machine{Config: &config.Interface{Name: "down", DNS: ips("10.0.0.1")}, state: SettingUp, offer: &proto.Offer{}}
	none := up(&config.Interface{Name: "none", PeerDNS: true}, "eth9", nil)
	refused := up(&config.Interface{Name: "refused"}, "eth8", ips("10.0.0.2"), "no.example")
	links := Resolvers([]*Machine{
		up(late, "eth0", ips("10.0.0.53"), "z.example"), up(metric, "eth1", nil),
		up(own, "eth2", ips("1.1.1.1", "10.1.0.53"), "lab.example", "example.org"), up(off, "eth3", ips("10.3.0.53")), down, none, refused})
	want := `# Interface off
nameserver fe80::1%eth3
nameserver 2001:db8::53
# Interface own
nameserver 8.8.8.8
nameserver 1.1.1.1
nameserver 10.1.0.53
search example.org lab.example
# Interface a-metric
nameserver 9.9.9.9
# Interface late
nameserver 10.0.0.53
search z.example
`
	if got := ResolvConf(links); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := ResolvConf(nil); got != "" {
		t.Errorf("text for nothing: %q", got)
	}
}
