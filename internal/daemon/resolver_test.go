package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/nstest"
	"netbraid/internal/resolv"
	"time"
)

// TestResolvConfFile: the servers of what is up stand in the file, which is not
// written while they stay as they are: not by a reload, not by a restart.
func TestResolvConfFile(t *testing.T) {
	w := newWorld(t)
	w.ns.IP("link add eth0 type veth peer name peer0")
	w.ns.IP("link set peer0 up")
	file := filepath.Join(w.dir, "tmp", "resolv.conf.auto")
	w.resolv = &resolv.Options{File: file, Tell: true} // there is nobody to tell in another namespace
	w.config("config interface wan\n\toption device eth0\n\toption proto static\n\toption ipaddr 10.0.0.1/24\n\tlist dns 8.8.8.8\n\tlist dns fe80::1\n")
	w.start()
	w.waitState("wan", iface.Up)
	has := func(want string) {
		t.Helper()
		nstest.Eventually(t, 5*time.Second, func() string {
			b, err := os.ReadFile(file)
			if err == nil && string(b) == want {
				return ""
			}
			return "the file has " + string(b)
		})
	}
	text := "# Interface wan\nnameserver 8.8.8.8\nnameserver fe80::1%eth0\n"
	has(text)
	before, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	has(text)
	w.start()
	w.waitState("wan", iface.Up)
	time.Sleep(100 * time.Millisecond)
	if after, err := os.Stat(file); err != nil || !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) {
		t.Errorf("the file was written without a change (%v)", err)
	}
	w.command(core.VerbDown, "wan")
	has("")
}
