package router

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// reload replaces text of the configuration and has it read again.
func (w *world) reload(old, new string) {
	w.t.Helper()
	text := w.read("network")
	if !strings.Contains(text, old) {
		w.t.Fatalf("the configuration has no %q", old)
	}
	w.write("network", strings.ReplaceAll(text, old, new))
	w.eventually(10*time.Second, func() string { // it may just be starting
		out, err := w.run("reload")
		if err != nil {
			return fmt.Sprint(out, err)
		}
		return ""
	})
}

// index is the ifindex of a companion, 0 while there is none.
func (w *world) index(name string) uint32 {
	for i, n := range w.linkNames(w.control) {
		if n == name {
			return i
		}
	}
	return 0
}

// reached waits until host one reaches host two.
func (w *world) reached() {
	w.t.Helper()
	w.eventually(20*time.Second, func() string {
		if out, err := w.one.Try("ping", "-c1", "-W1", "192.168.2.2"); err != nil {
			return "host two is not reached: " + out
		}
		return ""
	})
}

// TestReloadDataplane: what changes about a dataplane costs no more than it has
// to, and the engine that goes does not undo what the next one does.
func TestReloadDataplane(t *testing.T) {
	w := newWorld(t)
	w.second.IP("route add 192.168.1.0/24 via 10.0.0.1")
	w.start()
	w.eventually(15*time.Second, func() string {
		if out, err := w.control.Try("ping", "-c1", "-W1", "10.0.0.2"); err != nil {
			return out
		}
		return ""
	})
	w.control.IP("route add 192.168.2.0/24 via 10.0.0.2")
	w.control.IP("route add 198.51.100.0/24 via 10.0.0.2 proto static")
	w.reached()
	static := func(want bool) {
		t.Helper()
		w.eventually(10*time.Second, func() string {
			if has := strings.Contains(w.forward.IP("route show"), "198.51.100.0/24"); has != want {
				return "the forwarding namespace has:\n" + w.forward.IP("route show")
			}
			return ""
		})
	}
	static(true)

	t.Run("an option", func(t *testing.T) {
		before := w.index("e0")
		s := newStream(t, w.one, w.two, "192.168.2.2:9000")
		w.reload("option type 'netns'", "option type 'netns'\n\tlist skip_proto 'static'\n\toption window '2048'")
		static(false)
		w.live()
		time.Sleep(300 * time.Millisecond)
		if sent, lost := s.end(); lost > 0 || sent < 50 {
			t.Errorf("%d of %d packets were lost", lost, sent)
		}
		if after := w.index("e0"); after != before {
			t.Errorf("the companion was link %d, is %d", before, after)
		}
		w.reload("\n\tlist skip_proto 'static'", "")
		static(true)
	})
	t.Run("its name", func(t *testing.T) {
		before := w.index("e0")
		s := newStream(t, w.one, w.two, "192.168.2.2:9000")
		w.reload("'fwd'", "'other'")
		w.eventually(15*time.Second, func() string {
			out, err := w.run("fib", "other")
			if err != nil || !strings.Contains(out, "is live") {
				return out
			}
			return ""
		})
		time.Sleep(300 * time.Millisecond)
		if sent, lost := s.end(); lost > 0 || sent < 50 {
			t.Errorf("%d of %d packets were lost", lost, sent)
		}
		if after := w.index("e0"); after != before {
			t.Errorf("the companion was link %d, is %d", before, after)
		}
		if made := w.made(); !strings.Contains(made, `"other netns `) || strings.Contains(made, `"fwd netns `) {
			t.Errorf("remembered: %s", made)
		}
		b, err := os.ReadFile(filepath.Join(w.dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "it is made again") || strings.Contains(string(b), "somebody has changed") {
			t.Errorf("one engine has undone what the other has done:\n%s", b)
		}
	})
	t.Run("its namespace", func(t *testing.T) {
		next := nstest.New(t)
		next.IP("link set lo up")
		w.reload("'"+path(w.forward)+"'", "'"+path(next)+"'")
		w.eventually(10*time.Second, func() string {
			if out := w.forward.IP("-o link show type veth") + w.control.IP("-o link"); strings.Contains(out, "nb") || strings.Contains(out, "e0") {
				return "something is left:\n" + out
			}
			return ""
		})
		for _, dev := range []string{"lan", "wan"} {
			w.forward.IP("link set " + dev + " netns " + path(next))
		}
		w.eventually(15*time.Second, func() string {
			if out, err := w.control.Try("ping", "-c1", "-W1", "10.0.0.2"); err != nil {
				return out
			}
			return ""
		})
		w.control.IP("route replace 192.168.2.0/24 via 10.0.0.2")
		w.reached()
		w.kill()
		w.start() // what was made is remembered
		w.reload("config pair 'e1'\n", "config pair 'e1'\n\toption enabled '0'\n")
		w.eventually(10*time.Second, func() string {
			if out := w.control.IP("-o link"); strings.Contains(out, "e1") {
				return "a companion is left:\n" + out
			}
			return ""
		})
	})
}

// TestCompanionNamespaceGone: a pair whose companion's namespace is gone is not
// shown as up, goes on when it comes back, and keeps no namespace alive.
func TestCompanionNamespaceGone(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(w.dir, "blue")
	blue := nstest.New(t)
	link := func(ns *nstest.NS) {
		t.Helper()
		if err := os.Symlink(path(ns), file); err != nil {
			t.Fatal(err)
		}
	}
	link(blue)
	w.write("network", strings.Replace(w.read("network"), "option phy 'lan'", "option phy 'lan'\n\toption netns '"+file+"'", 1))
	w.start()
	state := func(want string) {
		t.Helper()
		w.eventually(20*time.Second, func() string {
			out, err := w.run("pair", "list", "e1")
			if err != nil || !strings.Contains(out, want) {
				return fmt.Sprint(out, err)
			}
			return ""
		})
	}
	state(" up\n")
	time.Sleep(time.Second) // at rest: nothing has the pair looked at by the way
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	state("waiting for namespace")
	next := nstest.New(t) // another one of the same name
	link(next)
	state(" up\n")
	w.eventually(10*time.Second, func() string { _, err := next.Try("ip", "link", "show", "dev", "e1"); return errText(err) })
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
