package partners

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

const dhcpConfig = `
config interface 'wan'
	option proto 'dhcp'
	option device 'eth0'
	option hostname 'partner'
	option metric '7'

config route
	option interface 'wan'
	option target '198.51.100.0/24'
	option gateway '192.0.2.9'
`

// dhcpWorld is a world whose wan asks for a lease on eth0.
func dhcpWorld(t *testing.T) *world {
	nstest.Need(t, "dnsmasq", "busybox")
	w := newWorld(t, 1)
	w.config(dhcpConfig)
	return w
}

// dnsmasq starts a DHCP server on peer0 that gives addresses .50 to .60 of a
// /24 ("192.0.2") and knows no lease of before.
func (w *world) dnsmasq(subnet string) *nstest.Program {
	w.t.Helper()
	w.far.IP("addr flush dev peer0")
	w.far.IP("addr add " + subnet + ".1/24 dev peer0")
	leases := filepath.Join(w.dir, "leases")
	_ = os.Remove(leases)
	return w.far.Start(nil, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--interface=peer0",
		"--bind-interfaces", "--no-ping", "--dhcp-authoritative", "--dhcp-range="+subnet+".50,"+subnet+".60,2m",
		"--dhcp-option=option:dns-server,"+subnet+".1", "--domain=partner.example", "--dhcp-leasefile="+leases, "--log-dhcp", "--log-facility=-",
		"--pid-file="+filepath.Join(w.dir, "dnsmasq.pid"), "--user=root")
}

// leased waits until wan has an address of the subnet, and all that comes with
// it, and gives the address.
func (w *world) leased(subnet string) (addr string) {
	w.t.Helper()
	w.waitUp("wan")
	nstest.Eventually(w.t, 8*time.Second, func() string {
		list := w.ns.Addrs("eth0")
		if len(list) != 1 || !strings.HasPrefix(list[0], subnet+".5") && !strings.HasPrefix(list[0], subnet+".60/") || !strings.HasSuffix(list[0], "/24") {
			return fmt.Sprintf("eth0 has %v, not one of %s.50 to .60", list, subnet)
		}
		addr = strings.TrimSuffix(list[0], "/24")
		return ""
	})
	waitText(w.t, func() string { return w.ns.IP("route") }, "default via "+subnet+".1 dev eth0 proto static src "+addr+" metric 7")
	return addr
}

// clients lists the udhcpc of this world.
func (w *world) clients() []int { return running("udhcpc\x00", w.dir) }

// oneClient waits until there is one udhcpc and gives it.
func (w *world) oneClient() (pid int) {
	w.t.Helper()
	nstest.Eventually(w.t, 5*time.Second, func() string {
		pids := w.clients()
		if len(pids) != 1 {
			return fmt.Sprintf("there are %d clients", len(pids))
		}
		pid = pids[0]
		return ""
	})
	return pid
}

// TestDHCPLease: a lease with all that comes with it, its renewal without
// anybody noticing, its release with ifdown, and a new one with ifup.
func TestDHCPLease(t *testing.T) {
	t.Parallel()
	w := dhcpWorld(t)
	server := w.dnsmasq("192.0.2")
	w.start(w.install(filepath.Join(w.dir, "root")))
	addr := w.leased("192.0.2")
	waitText(t, func() string { return w.ns.IP("route") }, "192.0.2.1 dev eth0 proto static scope link src "+addr+" metric 7",
		"198.51.100.0/24 via 192.0.2.9 dev eth0 proto static metric 7")
	st := w.call("network.interface.wan", "status")
	waitText(t, func() string { return fmt.Sprint(st) }, "dhcpserver", "192.0.2.1", "leasetime", "120", "partner.example")

	updates := w.updates("wan")
	w.call("network.interface.wan", "renew")
	nstest.Eventually(t, 5*time.Second, func() string {
		n, said := strings.Count(server.Output(), "DHCPACK(peer0)"), strings.Count(w.logged.String(), " obtained from ")
		if scripts := running("dhcp.script", w.dir, "renew\x00"); n != 2 || said != 2 || len(scripts) > 0 {
			return fmt.Sprintf("the server has given %d leases and the client has %d, not 2; lease scripts %v", n, said, scripts)
		}
		return ""
	})
	if n := updates(); n != 0 {
		t.Errorf("a renewal without any change was made known as %d updates", n)
	}
	if got := w.leased("192.0.2"); got != addr || w.count("ifdown wan") != 0 || w.count("ifup wan") != 1 {
		t.Errorf("renewed %s to %s, events %v", addr, got, w.events)
	}

	w.down("wan")
	w.waitDown("wan")
	w.waitAddrs("eth0")
	waitText(t, server.Output, "DHCPRELEASE(peer0) "+addr)
	if pids := w.clients(); len(pids) > 0 {
		t.Errorf("clients %v are left", pids)
	}
	if routes := w.ns.IP("route"); routes != "" {
		t.Errorf("routes are left: %s", routes)
	}
	w.up("wan")
	w.leased("192.0.2")
	w.quiet()
}

// TestDHCPServerGoneAndBack: no server at first: the interface waits. A server
// that goes while there is a lease, and comes back, is noticed by nobody. The
// network is never restarted (openwrt/openwrt#12868).
func TestDHCPServerGoneAndBack(t *testing.T) {
	t.Parallel()
	w := dhcpWorld(t)
	w.start(w.install(filepath.Join(w.dir, "root")))
	first := w.oneClient()
	if up, pending, errs := w.status("wan"); up || !pending || len(errs) > 0 {
		t.Fatalf("without a server: up %v, pending %v, errors %v", up, pending, errs)
	}
	server := w.dnsmasq("192.0.2")
	addr := w.leased("192.0.2")
	server.Kill()
	w.call("network.interface.wan", "renew")
	time.Sleep(1500 * time.Millisecond)
	if got := w.leased("192.0.2"); got != addr {
		t.Errorf("without the server the address went from %s to %s", addr, got)
	}
	server = w.dnsmasq("192.0.2")
	waitText(t, server.Output, "DHCPACK(peer0) "+addr)
	if got := w.leased("192.0.2"); got != addr || w.count("ifdown wan") != 0 {
		t.Errorf("the address went from %s to %s, events %v", addr, got, w.events)
	}
	if now := w.oneClient(); now != first {
		t.Errorf("the client went from %d to %d", first, now)
	}
	w.quiet()
}

// TestDHCPRefusedAndMoved: a server that refuses the lease and has another
// network: the interface has the new address, route and DNS, and nothing of the
// old. Nobody restarts anything; the static route of the interface is not lost
// when its gateway is there again (openwrt/openwrt#12927).
func TestDHCPRefusedAndMoved(t *testing.T) {
	t.Parallel()
	w := dhcpWorld(t)
	server := w.dnsmasq("192.0.2")
	w.start(w.install(filepath.Join(w.dir, "root")))
	w.leased("192.0.2")
	client := w.oneClient()
	server.Kill()
	server = w.dnsmasq("203.0.113")
	w.call("network.interface.wan", "renew")
	waitText(t, server.Output, "DHCPNAK(peer0)")
	w.leased("203.0.113")
	if routes := w.ns.IP("route"); strings.Contains(routes, "192.0.2.") {
		t.Errorf("something of the old network is left:\n%s", routes)
	}
	server.Kill()
	w.dnsmasq("192.0.2")
	w.call("network.interface.wan", "renew")
	w.leased("192.0.2")
	waitText(t, func() string { return w.ns.IP("route") }, "198.51.100.0/24 via 192.0.2.9 dev eth0 proto static metric 7")
	if now := w.oneClient(); now != client {
		t.Errorf("the client went from %d to %d", client, now)
	}
	w.quiet()
}

// TestDHCPClientKilled: a client that dies is started again after a back-off,
// not at once and without end (openwrt/openwrt#14838, #21422).
func TestDHCPClientKilled(t *testing.T) {
	t.Parallel()
	w := dhcpWorld(t)
	w.dnsmasq("192.0.2")
	w.start(w.install(filepath.Join(w.dir, "root")))
	addr := w.leased("192.0.2")
	var delays []time.Duration
	for range 2 {
		pid := w.oneClient()
		killed := time.Now()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		w.waitError("wan", "TASK_EXITED")
		w.waitAddrs("eth0")
		nstest.Eventually(t, 8*time.Second, func() string {
			if len(w.clients()) == 0 {
				return "no new client"
			}
			return ""
		})
		delays = append(delays, time.Since(killed))
		if got := w.leased("192.0.2"); got != addr {
			t.Errorf("the address went from %s to %s", addr, got)
		}
	}
	// 1 s, then 2 s, each ± 25 %.
	if delays[0] < 700*time.Millisecond || delays[1] < 1400*time.Millisecond {
		t.Errorf("started again after %v", delays)
	}
	if _, _, errs := w.status("wan"); len(errs) > 0 {
		t.Errorf("up again, with errors %v", errs)
	}
	w.quiet()
}

// TestDHCPCarrier: the cable is pulled and plugged in again: the interface goes
// and comes back by itself.
func TestDHCPCarrier(t *testing.T) {
	t.Parallel()
	w := dhcpWorld(t)
	server := w.dnsmasq("192.0.2")
	w.start(w.install(filepath.Join(w.dir, "root")))
	addr := w.leased("192.0.2")
	w.far.IP("link set peer0 down")
	w.waitDown("wan")
	w.waitAddrs("eth0")
	server.Kill()
	w.far.IP("link set peer0 up")
	w.dnsmasq("192.0.2")
	if got := w.leased("192.0.2"); got != addr {
		t.Errorf("the address went from %s to %s", addr, got)
	}
	if up, down := w.count("ifup wan"), w.count("ifdown wan"); up != 2 || down != 1 {
		t.Errorf("%d ifup, %d ifdown", up, down)
	}
	w.quiet()
}

// quiet holds that nothing was logged of messages that were refused: handlers
// that tear down say more than is asked for (openwrt/openwrt#18807).
func (w *world) quiet() {
	w.t.Helper()
	for _, l := range strings.Split(w.logged.String(), "\n") {
		if strings.Contains(l, "Permission denied") || strings.Contains(l, "Command failed") {
			w.t.Errorf("logged: %s", l)
		}
	}
}
