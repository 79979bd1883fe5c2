package daemon

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/hotplug"
	"netbraid/internal/iface"
)

// TestHotplugScripts: scripts hear in netifd's words what happens to an
// interface, ifdown once, and nothing while nothing happens.
func TestHotplugScripts(t *testing.T) {
	w := newWorld(t)
	w.ns.IP("link add eth0 type veth peer name peer0")
	w.ns.IP("link set peer0 up")
	out := filepath.Join(w.dir, "out")
	prog := filepath.Join(w.dir, "call")
	script := "#!/bin/sh\necho $1 $ACTION $INTERFACE ${DEVICE-none} ${IFUPDATE_ADDRESSES-no} ${IFUPDATE_ROUTES-no} >>" + out + "\n"
	if err := os.WriteFile(prog, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.hotplug = &hotplug.Options{Program: prog}
	lan := "config interface lan\n\toption device eth0\n\toption proto static\n\toption ipaddr "
	w.config(lan + "10.0.0.1/24\n")
	w.start()
	w.waitState("lan", iface.Up)
	until := func(want string) {
		t.Helper()
		var b []byte
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if b, _ = os.ReadFile(out); string(b) == want {
				return
			}
		}
		t.Fatalf("scripts have heard\n%swant\n%s", b, want)
	}
	heard := "iface ifup lan eth0 no no\n"
	until(heard)
	w.config(lan + "10.0.0.2/24\n")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	heard += "iface ifupdate lan eth0 1 no\n"
	until(heard)
	w.command(core.VerbDown, "lan")
	heard += "iface ifdown lan none no no\n"
	until(heard)
	w.command(core.VerbUp, "lan")
	heard += "iface ifup lan eth0 no no\n"
	until(heard)
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond)
	until(heard)
}

// TestHotplugOfBadSection: an interface whose section is wrong has failed to
// come up, which is said once, not at every trigger.
func TestHotplugOfBadSection(t *testing.T) {
	w := newWorld(t)
	w.ns.IP("link add eth0 type veth peer name peer0")
	w.ns.IP("link set peer0 up")
	w.config("config interface bad\n\toption device eth0\n\toption proto static\n\toption ipaddr 300.1.2.3\n")
	w.start()
	w.ns.IP("link set eth0 mtu 1400")
	w.ns.IP("link set eth0 mtu 1500")
	time.Sleep(200 * time.Millisecond)
	w.stop()
	var got []string
	for len(w.events) > 0 {
		got = append(got, <-w.events)
	}
	if len(got) != 1 || got[0] != "ifup-failed bad" {
		t.Errorf("events %q, want one ifup-failed", got)
	}
}
