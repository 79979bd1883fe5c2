package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/ubus"
)

// dnsmasq serves addresses at the far end; it ends with the test.
func (w *world) dnsmasq() *nstest.Program {
	w.t.Helper()
	w.far.IP("addr add 192.0.2.1/24 dev peer0")
	return w.far.Start(nil, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=peer0", "--bind-interfaces",
		"--dhcp-range=192.0.2.50,192.0.2.59,1h", "--dhcp-option=option:router,192.0.2.1", "--dhcp-option=option:dns-server,192.0.2.53",
		"--domain=lab.example", "--dhcp-authoritative", "--no-ping", "--user=root", "--leasefile-ro",
		"--pid-file="+filepath.Join(w.dir, "dnsmasq.pid"), "--log-facility=-")
}

// TestDHCPScript: a DHCP handler written as OpenWrt's, with busybox' udhcpc,
// against dnsmasq: lease, renewal, loss of the client, release of everything.
func TestDHCPScript(t *testing.T) {
	nstest.Need(t, "busybox", "dnsmasq")
	w := newWorld(t, 1, nil)
	server := w.dnsmasq()
	w.scripts("dhcp")
	script := strings.ReplaceAll(string(read(t, "dhcp", "proto", "labdhcp.script")), ". /lib/", ". "+w.dir+"/root/lib/")
	if err := os.WriteFile(filepath.Join(w.dir, "root/lib/netifd/proto/labdhcp.script"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.config([]byte("config interface wan\n\toption device eth0\n\toption proto labdhcp\n\toption hostname box\n\toption metric 9\n\toption broadcast 1\n"))
	w.start()
	leased := func() string {
		st := w.call(ubus.StatusOK, "network.interface.wan", "status", nil)
		routes := w.ns.IP("-4 route show")
		text := show(st) + routes
		for _, want := range []string{`"up":true`, `"address":"192.0.2.5`, `"mask":24`, `"dns-server":["192.0.2.53"]`, `"dns-search":["lab.example"]`,
			`"dhcpserver":"192.0.2.1","leasetime":"3600"`, "default via 192.0.2.1 dev eth0 proto static src 192.0.2.5", "metric 9"} {
			if !strings.Contains(text, want) {
				return fmt.Sprintf("%s is not in %s", want, text)
			}
		}
		return ""
	}
	nstest.Eventually(t, 10*time.Second, leased)
	w.call(ubus.StatusOK, "network.interface.wan", "renew", nil)
	nstest.Eventually(t, 5*time.Second, func() string {
		if log := server.Output(); strings.Count(log, "DHCPACK(") != 2 {
			return "no second acknowledgement: " + log
		}
		return leased()
	})
	if got := w.heard()["wan"]; got != "ifup" {
		t.Errorf("events: %q", got)
	}
	// The link goes, and comes back: so does the lease.
	w.far.IP("link set peer0 down")
	nstest.Eventually(t, 10*time.Second, func() string {
		if up, _, _ := w.state("wan"); up {
			return "up without a carrier"
		}
		return ""
	})
	w.far.IP("link set peer0 up")
	nstest.Eventually(t, 15*time.Second, leased)
	w.call(ubus.StatusOK, "network.interface.wan", "down", nil)
	nstest.Eventually(t, 10*time.Second, func() string {
		if a := w.ns.Addrs("eth0"); len(a) > 0 {
			return fmt.Sprint(a)
		}
		if _, err := os.Stat(filepath.Join(w.dir, "run/helpers/wan.task")); err == nil {
			return "the client still runs"
		}
		return ""
	})
}
