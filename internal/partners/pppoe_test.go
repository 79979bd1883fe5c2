package partners

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// pppoeWorld is a world in the test kernel whose wan dials in on eth0. The
// scripts of pppd name absolute paths and get nothing of the environment, so
// that all stands where it stands on a system, library, commands and bus: only
// for the test kernel, where nothing of that outlives the test.
func pppoeWorld(t *testing.T, password string) (w *world, addons string) {
	if !vmtest.InVM() {
		t.Fatal("this would change the system: vmtest.Require comes first")
	}
	nstest.Need(t, "pppd", "pppoe-server", "pppoe")
	w = newWorld(t, 1)
	w.socket = "/var/run/ubus/ubus.sock"
	w.run = "/run/netbraid"
	if err := os.RemoveAll(w.run); err != nil { // of the test before
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(w.socket), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, "/etc/ppp/chap-secrets", "partner * secret *\n", 0o600)
	w.config(fmt.Sprintf(`
config interface 'wan'
	option proto 'pppoe'
	option device 'eth0'
	option username 'partner'
	option password '%s'
	option keepalive '2 1'
	option pppd_options 'lcp-restart 1 lcp-max-terminate 1 ipcp-restart 1'
	option metric '5'
`, password))
	return w, w.install("/")
}

// fails ends a pppoe-server and the sessions that it serves.
func (w *world) fails(server *nstest.Program) {
	server.Kill()
	for _, pid := range running("pppd", w.serverOptions()) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func (w *world) serverOptions() string { return filepath.Join(w.dir, "server-options") }

// concentrator starts a pppoe-server on peer0 that wants CHAP.
func (w *world) concentrator() *nstest.Program {
	w.t.Helper()
	options := w.serverOptions()
	write(w.t, options, "auth\nrequire-chap\nlcp-restart 1\nipcp-restart 1\nchap-restart 1\nnodefaultroute\nms-dns 10.67.0.53\n", 0o644)
	return w.far.Start(nil, "pppoe-server", "-F", "-I", "peer0", "-L", "10.67.0.1", "-R", "10.67.0.10", "-N", "4", "-C", "partner", "-O", options)
}

// TestPPPoE: a session with its address, route and DNS server; a server that
// goes and comes back, without a restart of the network (openwrt/openwrt#12868,
// openwrt/packages#780); the end of it.
func TestPPPoE(t *testing.T) {
	vmtest.Require(t)
	w, addons := pppoeWorld(t, "secret")
	server := w.concentrator()
	w.start(addons)
	session := func() {
		t.Helper()
		w.waitUp("wan")
		waitText(t, func() string { return w.ns.IP("addr show dev pppoe-wan") }, "inet 10.67.0.1", "peer 10.67.0.1/32")
		waitText(t, func() string { return w.ns.IP("route") }, "default via 10.67.0.1 dev pppoe-wan proto static metric 5")
		waitText(t, func() string { return fmt.Sprint(w.call("network.interface.wan", "status")) }, "pppoe-wan", "10.67.0.53")
		w.ns.Run("ping -c 1 -W 2 10.67.0.1")
	}
	session()
	w.fails(server)
	w.waitError("wan", "TASK_EXITED")
	nstest.Eventually(t, 5*time.Second, func() string {
		if out := w.ns.IP("route"); strings.Contains(out, "default") {
			return out
		}
		return ""
	})
	w.concentrator()
	session()
	w.down("wan")
	w.waitDown("wan")
	nstest.Eventually(t, 5*time.Second, func() string {
		pids := running("pppd", "nodetach", "ipparam")
		if _, err := w.ns.Try("ip", "link", "show", "dev", "pppoe-wan"); err == nil || len(pids) > 0 {
			return fmt.Sprintf("pppoe-wan is left (%v), or pppd: %v", err == nil, pids)
		}
		return ""
	})
	w.quiet()
}

// TestPPPoEWrongPassword: the handler says why, and the next tries wait longer
// and longer.
func TestPPPoEWrongPassword(t *testing.T) {
	vmtest.Require(t)
	w, addons := pppoeWorld(t, "wrong")
	server := w.concentrator()
	begin := time.Now()
	w.start(addons)
	w.waitError("wan", "AUTH_FAILED")
	tries := func() int { return strings.Count(w.logged.String(), "PPP session is") }
	nstest.Eventually(t, 20*time.Second, func() string {
		if n := tries(); n < 2 {
			return fmt.Sprintf("%d tries", n)
		}
		return ""
	})
	time.Sleep(time.Second)
	up, _, errs := w.status("wan")
	// Before the second it waits for 2 s, before the third for 3, …
	n, passed := tries(), time.Since(begin)
	if least := time.Duration((n-1)*(n+2)/2) * time.Second; up || !slices.Contains(errs, "AUTH_FAILED") || passed < least {
		t.Errorf("up %v, errors %v, %d tries in %v; the server said:\n%s", up, errs, n, passed, server.Output())
	}
	w.quiet()
}
