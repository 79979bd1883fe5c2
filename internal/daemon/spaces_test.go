package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/core"
	"netbraid/internal/mirror"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// file makes path stand for a namespace, as ip-netns(8) does with a mount.
func file(t *testing.T, path string, ns *nstest.NS) {
	t.Helper()
	os.Remove(path)
	if err := os.Symlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.FD()), path); err != nil {
		t.Fatal(err)
	}
}

func (w *world) mirrors() map[string]mirror.Status {
	out := map[string]mirror.Status{}
	w.on(func(*core.Core) {
		for _, m := range w.d.MirrorStatus(time.Now()) {
			out[m.NS] = m.Status
		}
	})
	return out
}

// links waits until the mirror of a namespace is live and has n links.
func (w *world) links(path string, n int) {
	w.t.Helper()
	nstest.Eventually(w.t, 10*time.Second, func() string {
		s, ok := w.mirrors()[path]
		if !ok {
			return "no mirror of " + path
		}
		for _, k := range s.Kinds {
			if k.Kind == rtnl.KindLink && s.State == "live" && k.Objects == n {
				return ""
			}
		}
		return fmt.Sprintf("%+v", s)
	})
}

// TestNamespaces: a namespace that the configuration names is mirrored, by
// itself, through changes, its end and its return, until nothing names it.
func TestNamespaces(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(t.TempDir(), "blue")
	section := "config mirror blue\n\toption netns '" + path + "'\n"
	w.config(section)
	w.start()
	nstest.Eventually(t, 5*time.Second, func() string { // not there yet
		why := ""
		w.on(func(*core.Core) {
			for _, m := range w.d.MirrorStatus(time.Now()) {
				if m.NS == path && m.State != "live" && m.Stats.Losses == 0 {
					why = m.Reason
				}
			}
		})
		if !strings.Contains(why, "there is no network namespace "+path) {
			return fmt.Sprintf("no word that the namespace is missing: %q", why)
		}
		return ""
	})

	blue := nstest.New(t)
	file(t, path, blue)
	w.links(path, 1)
	blue.IP("link add v0 type veth peer name v1")
	w.links(path, 3)
	if s := w.mirrors()["default"]; s.Kinds[0].Objects != 1 {
		t.Errorf("the own namespace has %d links in the mirror, want 1", s.Kinds[0].Objects)
	}

	// The name stands for another namespace now.
	green := nstest.New(t)
	green.IP("link add v0 type veth peer name v1")
	green.IP("link add v2 type veth peer name v3")
	file(t, path, green)
	w.links(path, 5)

	// And for none.
	os.Remove(path)
	nstest.Eventually(t, 10*time.Second, func() string {
		if s := w.mirrors()[path]; s.State == "live" {
			return "still live"
		}
		return ""
	})
	file(t, path, green)
	w.links(path, 5)

	// Two users: the configuration, and one more (as a pair is).
	w.on(func(c *core.Core) { c.UseNS(path, "pair", mirror.Params{}) })
	w.config("")
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.links(path, 5)
	w.on(func(c *core.Core) { c.DropNS(path, "pair") })
	w.on(func(*core.Core) { w.d.step(core.Tick{}) })
	if _, ok := w.mirrors()[path]; ok {
		t.Error("the mirror stays when its last user has gone")
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		if n := w.d.spaces.Buffer(1); n != 0 {
			return "its socket is still open"
		}
		return ""
	})
}

// TestMirrorLimits: the limits of the configuration are those in force.
func TestMirrorLimits(t *testing.T) {
	w := newWorld(t)
	w.config("config mirror own\n\toption rx_buffer_size 1048576\n\toption tx_buffer_size 1234567\n\toption batch_size 7\n\toption batch_time 3\n\toption batch_delay 2\n\toption sync_batch_limit 5\n\toption sync_attempt_delay 100\n")
	w.start()
	nstest.Eventually(t, 5*time.Second, func() string {
		for fd := range 256 { // no other socket has such a buffer
			if n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil && n == 2*1234567 {
				return ""
			}
		}
		return "no socket has the send buffer that is configured"
	})
	p := w.mirrors()["default"].Params
	want := mirror.Params{RxBufferSize: 1 << 20, TxBufferSize: 1234567, BatchSize: 7, BatchTime: 3 * time.Millisecond, BatchDelay: 2 * time.Millisecond,
		SyncBatchLimit: 5, SyncAttemptDelay: 100 * time.Millisecond, PendingMax: p.PendingMax, Seed: p.Seed}
	if p != want {
		t.Errorf("in force:\n%+v\nwant\n%+v", p, want)
	}
	// With such small slices everything still gets done.
	w.ns.IP("link add v0 type veth peer name v1")
	w.on(func(c *core.Core) { c.Mirror().Refresh(rtnl.KindLink); w.d.step(core.Tick{}) })
	w.links("default", 3)
	w.config("config mirror twice\nconfig mirror own\n")
	if err := w.reload(); err == nil {
		t.Error("two sections for one namespace are taken")
	}
}
