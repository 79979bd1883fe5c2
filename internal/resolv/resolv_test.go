package resolv

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

type rig struct {
	t   *testing.T
	dir string
	mu  sync.Mutex
	log bytes.Buffer
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// newRig makes a folder with programs of the names given, which write what they
// are told to the file "calls".
func newRig(t *testing.T, programs ...string) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	for _, p := range programs {
		r.program(p, "echo "+p+` "$@" >>"$CALLS"; cat >>"$CALLS"`)
	}
	t.Setenv("CALLS", filepath.Join(r.dir, "calls"))
	t.Setenv("PATH", r.dir+":"+os.Getenv("PATH"))
	return r
}

func (r *rig) program(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		r.t.Fatal(err)
	}
}

// start starts a writer; etc is what the file that tells the owner points to.
func (r *rig) start(etc string) *Writer {
	r.t.Helper()
	link := filepath.Join(r.dir, "etc")
	if etc != "" {
		if err := os.Symlink(etc, link); err != nil {
			r.t.Fatal(err)
		}
	}
	w := New(Options{File: r.file(), Etc: link, Tell: true, Limit: 300 * time.Millisecond, Log: slog.New(slog.NewTextHandler(r, nil))})
	r.t.Cleanup(w.Close)
	return w
}

func (r *rig) file() string { return filepath.Join(r.dir, "sub", "resolv.conf") }

// until waits for a file to have a content.
func (r *rig) until(path, want string) {
	r.t.Helper()
	var b []byte
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, _ = os.ReadFile(path); string(b) == want {
			return
		}
	}
	r.t.Fatalf("%s has\n%s\nwant\n%s\nlog: %s", path, b, want, r.logged())
}

// TestFile: the file is replaced as a whole, so that a reader finds the old
// text or the new one, and not written when nothing has changed.
func TestFile(t *testing.T) {
	r := newRig(t)
	w := r.start("")
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	r.until(r.file(), "nameserver 10.0.0.1\n")
	fi, err := os.Stat(r.file())
	if err != nil || fi.Mode().Perm() != 0o644 {
		t.Fatalf("%v %v", fi.Mode(), err)
	}
	before := stat(t, r.file())
	for range 20 {
		w.Set(State{Text: "nameserver 10.0.0.1\n"})
	}
	w.Close()
	if after := stat(t, r.file()); after != before {
		t.Errorf("rewritten without a change: %s, was %s", after, before)
	}
	w = New(Options{File: r.file()}) // a later process
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	w.Close()
	if after := stat(t, r.file()); after != before {
		t.Errorf("rewritten after a restart: %s, was %s", after, before)
	}
	w = New(Options{File: r.file()})
	defer w.Close()
	w.Set(State{})
	r.until(r.file(), "")
	if after := stat(t, r.file()); after == before {
		t.Error("changed in place: a reader may have found half of it")
	}
	if entries, _ := os.ReadDir(filepath.Dir(r.file())); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// stat tells whether a file is another one, or was written.
func stat(t *testing.T, path string) string {
	t.Helper()
	fi, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%+v", fi.Sys())
}

func TestResolvconf(t *testing.T) {
	r := newRig(t, "resolvconf")
	w := r.start("../run/resolvconf/resolv.conf")
	calls := filepath.Join(r.dir, "calls")
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	want := "resolvconf -a netbraid\nnameserver 10.0.0.1\n"
	r.until(calls, want)
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	w.Set(State{})
	want += "resolvconf -d netbraid\n"
	r.until(calls, want)
	r.until(r.file(), "")
}

func TestResolved(t *testing.T) {
	r := newRig(t, "resolvectl")
	w := r.start("/run/systemd/resolve/stub-resolv.conf")
	calls := filepath.Join(r.dir, "calls")
	a := Link{Device: "lo", Servers: []string{"10.0.0.1", "fe80::1%lo"}, Search: []string{"example.org"}}
	b := Link{Device: "nosuch0", Servers: []string{"10.0.0.2"}}
	w.Set(State{Links: []Link{a, b}})
	want := "resolvectl dns lo 10.0.0.1 fe80::1%lo\nresolvectl domain lo example.org\n" +
		"resolvectl dns nosuch0 10.0.0.2\nresolvectl domain nosuch0 \n"
	r.until(calls, want)
	a.Search = nil
	w.Set(State{Links: []Link{a}}) // nosuch0 has gone, nothing to take back
	want += "resolvectl dns lo 10.0.0.1 fe80::1%lo\nresolvectl domain lo \n"
	r.until(calls, want)
	w.Set(State{})
	want += "resolvectl revert lo\n"
	r.until(calls, want)
}

// TestNobodyIsTold: where /etc/resolv.conf is a plain file, or nothing says who
// owns it, it stays as it is and nobody is called.
func TestNobodyIsTold(t *testing.T) {
	for _, etc := range []string{"", "/run/something/resolv.conf", "plain"} {
		r := newRig(t, "resolvconf", "resolvectl")
		if etc == "plain" {
			etc = ""
			if err := os.WriteFile(filepath.Join(r.dir, "etc"), []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w := r.start(etc)
		w.Set(State{Text: "nameserver 10.0.0.1\n", Links: []Link{{Device: "lo", Servers: []string{"10.0.0.1"}}}})
		r.until(r.file(), "nameserver 10.0.0.1\n")
		w.Close()
		if b, err := os.ReadFile(filepath.Join(r.dir, "calls")); err == nil {
			t.Errorf("%q: called: %s", etc, b)
		}
		if b, err := os.ReadFile(filepath.Join(r.dir, "etc")); err == nil && string(b) != "nameserver 192.0.2.1\n" {
			t.Errorf("%q: changed to %q", etc, b)
		}
	}
}

// TestProgramHangs: a program that hangs is ended, said once, and what comes
// later is told.
func TestProgramHangs(t *testing.T) {
	r := newRig(t)
	r.program("resolvconf", `[ -e "$CALLS.go" ] || { echo "no luck" >&2; sleep 1000; }; echo told >>"$CALLS"`)
	w := r.start("/run/resolvconf/resolv.conf")
	start := time.Now()
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	for !strings.Contains(r.logged(), "cannot tell") {
		if time.Since(start) > 5*time.Second {
			t.Fatal("nothing is said about the program that hangs")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if log := r.logged(); !strings.Contains(log, "took longer than 300ms and was ended: no luck") {
		t.Error(log)
	}
	if err := os.WriteFile(filepath.Join(r.dir, "calls.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	w.Set(State{Text: "nameserver 10.0.0.1\n"})
	r.until(filepath.Join(r.dir, "calls"), "told\n")
}
