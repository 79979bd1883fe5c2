package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/internal/nstest"
)

// ovsWorld has backends that write down what they are told.
type ovsWorld struct {
	t      *testing.T
	s      *switches
	stop   func()
	events chan core.SwitchChanged

	mu     sync.Mutex
	told   []string
	answer bool
	broken string // backend that cannot be opened
}

type fakeBackend struct {
	w    *ovsWorld
	name string
}

func (f *fakeBackend) Set(want []model.Switch) {
	var mine []string
	for _, w := range want {
		if w.Backend == f.name {
			mine = append(mine, w.Name)
		}
	}
	f.w.note(f.name + "[" + strings.Join(mine, " ") + "]")
}

func (f *fakeBackend) Done() bool { return true }

func (f *fakeBackend) Close() { f.w.note(f.name + " closed") }

func (w *ovsWorld) note(s string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, s)
}

func newOVSWorld(t *testing.T, dir string) *ovsWorld {
	w := &ovsWorld{t: t, events: make(chan core.SwitchChanged, 100)}
	w.s = newSwitches(Options{RunDir: filepath.Join(dir, "run"), StateDir: filepath.Join(dir, "lib")}, slog.New(slog.NewTextHandler(testWriter{t}, nil)), func(ev core.Event) { w.events <- ev.(core.SwitchChanged) })
	w.s.answers = func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.answer }
	w.s.open = func(name string) (switchBackend, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.broken == name {
			return nil, errors.New("no " + name + " here")
		}
		return &fakeBackend{w, name}, nil
	}
	w.stop = sync.OnceFunc(w.s.start())
	t.Cleanup(w.stop)
	return w
}

// expect waits until backends have been told this, and nothing else.
func (w *ovsWorld) expect(want ...string) {
	w.t.Helper()
	nstest.Eventually(w.t, 10*time.Second, func() string {
		w.mu.Lock()
		defer w.mu.Unlock()
		if got := strings.Join(w.told, " "); got != strings.Join(want, " ") {
			return fmt.Sprintf("told %q, want %q", got, want)
		}
		return ""
	})
	w.mu.Lock()
	w.told = nil
	w.mu.Unlock()
}

func named(nameAndBackend ...string) (out []model.Switch) {
	for _, s := range nameAndBackend {
		n, b, _ := strings.Cut(s, "/")
		out = append(out, model.Switch{Name: n, Backend: b, Ports: []model.SwitchPort{{Name: "p"}}})
	}
	return out
}

// TestSwitchBackends: who runs a bridge is what its section says, else who is
// there when it comes; that holds for the next process too.
func TestSwitchBackends(t *testing.T) {
	dir := t.TempDir()
	w := newOVSWorld(t, dir)
	w.s.set(named("a", "b/ovsdb"))
	w.expect("kernel[a]", "ovsdb[b]")
	w.mu.Lock()
	w.answer = true // an ovsdb-server has come
	w.mu.Unlock()
	w.s.set(named("a", "b/ovsdb", "c"))
	w.expect("kernel[a]", "ovsdb[b c]")
	w.s.set(nil)
	w.expect("kernel[]", "ovsdb[]")
	w.s.set(named("a", "c"))
	w.expect("kernel[]", "ovsdb[a c]") // gone and come again: decided anew
	w.stop()
	w.expect("kernel closed", "ovsdb closed")

	w = newOVSWorld(t, dir) // another process; no server answers
	w.s.set(named("a", "c", "d"))
	w.expect("kernel[d]", "ovsdb[a c]")
	w.stop()
}

// TestSwitchNextBoot: after a boot the bridges that are in the database are known,
// also while its server does not answer yet; those of the kernel are gone.
func TestSwitchNextBoot(t *testing.T) {
	dir := t.TempDir()
	w := newOVSWorld(t, dir)
	w.s.set(named("k"))
	w.expect("kernel[k]")
	w.mu.Lock()
	w.answer = true
	w.mu.Unlock()
	w.s.set(named("k", "o"))
	w.expect("kernel[k]", "ovsdb[o]")
	w.stop()
	w.expect("kernel closed", "ovsdb closed")
	if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	w = newOVSWorld(t, dir) // no server answers
	w.s.set(nil)
	w.expect("ovsdb[]") // what is left in the database goes when it does
	w.stop()
	w.expect("ovsdb closed")

	dir = t.TempDir()
	w = newOVSWorld(t, dir)
	w.answer = true
	w.s.set(named("k", "o"))
	w.expect("ovsdb[k o]")
	w.stop()
	if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
		t.Fatal(err)
	}
	w = newOVSWorld(t, dir)
	w.s.set(named("n", "o"))
	w.expect("kernel[n]", "ovsdb[o]")
}

// TestSwitchLeftOvers: bridges of an earlier process that nobody wants any more
// are taken away, and where there were none nobody is asked.
func TestSwitchLeftOvers(t *testing.T) {
	dir := t.TempDir()
	w := newOVSWorld(t, dir)
	w.s.set(nil)
	w.s.set(named("a"))
	w.expect("kernel[a]")
	w.stop()
	w.expect("kernel closed")
	w = newOVSWorld(t, dir)
	w.s.set(nil)
	w.expect("kernel[]")
}

// TestSwitchNeedsOVSDB: what only ovs-vswitchd has is given to it, whether or not
// it is there yet; so is a bridge that gets it later.
func TestSwitchNeedsOVSDB(t *testing.T) {
	w := newOVSWorld(t, t.TempDir())
	plain, user := named("a")[0], named("b")[0]
	user.DatapathType = "netdev"
	w.s.set([]model.Switch{plain, user})
	w.expect("kernel[a]", "ovsdb[b]")
	plain.Ports[0].Members = []string{"x", "y"}
	w.s.set([]model.Switch{plain, user})
	w.expect("kernel[]", "ovsdb[a b]")
}

// TestSwitchChangesBackend: what the backend that had a bridge says of it does
// not hide what the one says that has it.
func TestSwitchChangesBackend(t *testing.T) {
	w := newOVSWorld(t, t.TempDir())
	w.s.set(named("a/ovsdb"))
	w.expect("ovsdb[a]")
	w.s.set(named("a/kernel"))
	w.expect("kernel[a]", "ovsdb[]")
	w.s.report("kernel", model.SwitchState{Name: "a", There: true})
	w.s.report("ovsdb", model.SwitchState{Name: "a"}) // it is gone there
	w.s.set(named("a/kernel", "b/kernel"))
	w.expect("kernel[a b]", "ovsdb[]")
	w.stop()
	close(w.events)
	last := core.SwitchChanged{}
	for last = range w.events {
	}
	if last.State.Backend != "kernel" || !last.State.There {
		t.Errorf("the last that is heard: %+v", last.State)
	}
}

// TestSwitchBackendMissing: a backend that cannot be started is tried again, and
// said once; when nothing is wanted of it, it is left.
func TestSwitchBackendMissing(t *testing.T) {
	w := newOVSWorld(t, t.TempDir())
	var log bytes.Buffer
	w.s.log = slog.New(slog.NewTextHandler(&log, nil))
	w.broken = backendKernel
	for range 3 {
		if w.s.apply(named("a")) {
			t.Error("nothing to try again")
		}
	}
	if n := strings.Count(log.String(), "trying again"); n != 1 {
		t.Errorf("said %d times:\n%s", n, &log)
	}
	if !w.s.apply(nil) {
		t.Error("tried again, for nothing")
	}
}

// TestSwitchReports: the core hears the newest of each bridge from who runs it,
// and why nobody can.
func TestSwitchReports(t *testing.T) {
	w := newOVSWorld(t, t.TempDir())
	w.s.set(named("a"))
	w.expect("kernel[a]")
	next := func() string {
		select {
		case ev := <-w.events:
			return fmt.Sprintf("%s %s %v %q %d", ev.State.Name, ev.State.Backend, ev.State.There, ev.State.Err, len(ev.State.Ports))
		case <-time.After(5 * time.Second):
			return "nothing"
		}
	}
	w.s.report("kernel", model.SwitchState{Name: "a", There: true})
	if got := next(); got != `a kernel true "" 0` {
		t.Error(got)
	}
	w.mu.Lock()
	w.broken = "ovsdb"
	w.mu.Unlock()
	w.s.set(named("c/ovsdb"))
	if got := next(); got != `c ovsdb false "no ovsdb here" 0` {
		t.Error(got)
	}
}
