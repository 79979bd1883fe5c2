package hotplug

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestEnvironment holds the variables against recorded calls of netifd.
func TestEnvironment(t *testing.T) {
	for _, c := range []struct {
		e    Event
		want string
	}{
		{Event{Action: IfUp, Interface: "lan", Device: "br-lan"}, "ACTION=ifup INTERFACE=lan DEVICE=br-lan"},
		{Event{Action: IfUp, Interface: "nodev"}, "ACTION=ifup INTERFACE=nodev"},
		{Event{Action: IfDown, Interface: "wan", Device: "eth2"}, "ACTION=ifdown INTERFACE=wan"},
		{Event{Action: IfUpFailed, Interface: "err", Device: "eth5"}, "ACTION=ifup-failed INTERFACE=err"},
		{Event{Action: IfUpdate, Interface: "full", Device: "eth2", Addresses: true},
			"ACTION=ifupdate INTERFACE=full DEVICE=eth2 IFUPDATE_ADDRESSES=1"},
		{Event{Action: IfUpdate, Interface: "full", Device: "eth2", Routes: true, Prefixes: true, Data: true},
			"ACTION=ifupdate INTERFACE=full DEVICE=eth2 IFUPDATE_ROUTES=1 IFUPDATE_PREFIXES=1 IFUPDATE_DATA=1"},
		{Event{Action: IfUp, Interface: "x", Device: "d", Data: true}, "ACTION=ifup INTERFACE=x DEVICE=d"},
	} {
		if got := strings.Join(c.e.Env(), " "); got != c.want {
			t.Errorf("%+v: %s, want %s", c.e, got, c.want)
		}
	}
}

func TestQueue(t *testing.T) {
	up := func(n string) Event { return Event{Action: IfUp, Interface: n, Device: "d" + n} }
	down := func(n string) Event { return Event{Action: IfDown, Interface: n} }
	failed := func(n string) Event { return Event{Action: IfUpFailed, Interface: n} }
	upd := func(n string) Event { return Event{Action: IfUpdate, Interface: n, Device: "e" + n, Routes: true} }
	data := Event{Action: IfUpdate, Interface: "a", Device: "f", Data: true}
	for _, c := range []struct {
		name     string
		in, want []Event
	}{
		{"first in, first out", []Event{up("a"), up("b"), down("c")}, []Event{up("a"), up("b"), down("c")}},
		{"later overwrites and keeps the turn", []Event{up("a"), up("b"), down("a")}, []Event{down("a"), up("b")}},
		{"ifup after ifdown", []Event{down("a"), up("a")}, []Event{up("a")}},
		{"an update is part of an ifup", []Event{up("a"), upd("a")}, []Event{{Action: IfUp, Interface: "a", Device: "ea"}}},
		{"updates add up", []Event{upd("a"), data}, []Event{{Action: IfUpdate, Interface: "a", Device: "f", Routes: true, Data: true}}},
		{"a failure does not hide an ifdown", []Event{down("a"), failed("a")}, []Event{down("a")}},
		{"a failure after a try", []Event{up("a"), failed("a")}, []Event{failed("a")}},
	} {
		var q queue
		for _, e := range c.in {
			q.push(e)
		}
		var got []Event
		for e, ok := q.pop(); ok; e, ok = q.pop() {
			got = append(got, e)
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (- want, + got):\n%s", c.name, d)
		}
	}
}

// bench is a folder with scripts and a log that they write to.
type rig struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	text bytes.Buffer // of the runner
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *rig) logged() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// newRig makes the folder; OUT is in the environment of scripts.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir()}
	t.Setenv("OUT", r.out())
	return r
}

func (r *rig) out() string { return filepath.Join(r.dir, "out") }

func (r *rig) script(name, text string, mode os.FileMode) string {
	r.t.Helper()
	path := filepath.Join(r.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func (r *rig) start(program string, limit time.Duration) *Runner {
	run := New(Options{Program: program, Dir: filepath.Join(r.dir, "iface"), Limit: limit,
		Log: slog.New(slog.NewTextHandler(r, nil))})
	r.t.Cleanup(run.Close)
	return run
}

// until waits for the output of the scripts to be so.
func (r *rig) until(want string) {
	r.t.Helper()
	var b []byte
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if b, _ = os.ReadFile(r.out()); string(b) == want {
			return
		}
	}
	r.t.Fatalf("the scripts have written %q, want %q; log:\n%s", b, want, r.logged())
}

// TestOneAtATime: a program sees the events in order, and is never started
// while another one runs; what comes meanwhile is merged.
func TestOneAtATime(t *testing.T) {
	r := newRig(t)
	hold := filepath.Join(r.dir, "hold")
	r.script("hold", "", 0o644)
	prog := r.script("call", `#!/bin/sh
mkdir "$OUT.lock" || echo "two at a time" >>"$OUT"
while [ -e `+hold+` ]; do sleep 0.01; done
echo "$1 $ACTION $INTERFACE ${DEVICE-none} $IFUPDATE_ROUTES" >>"$OUT"
rmdir "$OUT.lock"
`, 0o755)
	run := r.start(prog, 0)
	run.Post(Event{Action: IfUp, Interface: "lan", Device: "br-lan"})
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(r.out() + ".lock"); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the program does not start")
		}
	}
	for i := range 1000 { // the queue stays at one an interface
		run.Post(Event{Action: IfDown, Interface: "wan"})
		run.Post(Event{Action: IfUp, Interface: "wan", Device: "eth" + strconv.Itoa(i)})
		run.Post(Event{Action: IfUpdate, Interface: "lan", Device: "br-lan", Routes: true})
	}
	if err := os.Remove(hold); err != nil {
		t.Fatal(err)
	}
	r.until("iface ifup lan br-lan \niface ifup wan eth999 \niface ifupdate lan br-lan 1\n")
}

// TestWithoutHotplugCall: the scripts of the folder run one after the other,
// each on its own: one that fails, or exits, or is no script, stops no other.
func TestWithoutHotplugCall(t *testing.T) {
	r := newRig(t)
	r.script("iface/10-first", "echo \"first $HOTPLUG_TYPE $ACTION $INTERFACE $1 ${0##*/}\" >>\"$OUT\"\nexit 3\n", 0o644)
	r.script("iface/20-nonsense", "\x00\x01)(\n", 0o644)
	r.script("iface/30-second", "#!/bin/sh\necho second $USER $LOGNAME $DEVICE >>\"$OUT\"\n", 0o755)
	r.script("iface/40-other", "#!/usr/bin/env -S awk -f\nBEGIN { print \"awk\", ENVIRON[\"ACTION\"] >>ENVIRON[\"OUT\"] }\n", 0o755)
	r.script("iface/50-backup~", "echo backup >>\"$OUT\"\n", 0o755)
	r.script("iface/.hidden", "echo hidden >>\"$OUT\"\n", 0o755)
	if err := os.Mkdir(filepath.Join(r.dir, "iface", "25-folder"), 0o755); err != nil {
		t.Fatal(err)
	}
	r.script("iface/60-last", "echo last >>\"$OUT\"\n", 0o644)
	run := r.start(filepath.Join(r.dir, "none"), 0)
	run.Post(Event{Action: IfUp, Interface: "lan", Device: "br-lan"})
	r.until("first iface ifup lan iface 10-first\nsecond root root br-lan\nawk ifup\nlast\n")
	if log := r.logged(); strings.Count(log, "10-first") != 1 || !strings.Contains(log, "exit status 3") {
		t.Errorf("one line about the script that failed is expected:\n%s", log)
	}
}

// TestHangingScript: one that neither ends nor heeds SIGTERM is ended with all
// that it has started, and the next event is told.
func TestHangingScript(t *testing.T) {
	r := newRig(t)
	prog := r.script("call", `#!/bin/sh
[ $INTERFACE = bad ] || { echo $INTERFACE >>"$OUT"; exit; }
trap '' TERM
sleep 1000 & echo $! $$ >"$OUT.pids"
while :; do sleep 1000; done
`, 0o755)
	run := r.start(prog, 300*time.Millisecond)
	start := time.Now()
	run.Post(Event{Action: IfUp, Interface: "bad"})
	run.Post(Event{Action: IfUp, Interface: "good"})
	r.until("good\n")
	if d := time.Since(start); d > 300*time.Millisecond+grace+3*time.Second {
		t.Errorf("it took %s to go on", d)
	}
	r.gone()
	if log := r.logged(); strings.Count(log, "\n") != 1 || !strings.Contains(log, "took longer than 300ms and was ended") {
		t.Errorf("one line is expected:\n%s", log)
	}
}

// gone holds that none of the processes is there which a script has noted.
func (r *rig) gone() {
	r.t.Helper()
	b, err := os.ReadFile(r.out() + ".pids")
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			r.t.Fatal(err)
		}
		for end := time.Now().Add(3 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				_ = unix.Kill(pid, unix.SIGKILL)
				r.t.Errorf("process %d is still there", pid)
				break
			}
		}
	}
}

// alive tells whether a process runs; one that only waits for its parent to
// ask after it does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

// TestCloseEndsTheScript: a daemon that ends leaves no script behind, and tells
// nothing more.
func TestCloseEndsTheScript(t *testing.T) {
	r := newRig(t)
	prog := r.script("call", "#!/bin/sh\nsleep 1000 &\necho $! $$ >\"$OUT.pids\"\necho $INTERFACE >>\"$OUT\"\nwait\n", 0o755)
	run := r.start(prog, time.Hour)
	run.Post(Event{Action: IfUp, Interface: "a"})
	run.Post(Event{Action: IfUp, Interface: "b"})
	r.until("a\n")
	start := time.Now()
	run.Close()
	if d := time.Since(start); d > grace {
		t.Errorf("Close took %s", d)
	}
	r.gone()
	run.Post(Event{Action: IfUp, Interface: "c"})
	time.Sleep(50 * time.Millisecond)
	r.until("a\n")
}

// TestBackgroundStays: what a script that ends leaves in the background goes
// on (scripts start services), and holds nothing up.
func TestBackgroundStays(t *testing.T) {
	r := newRig(t)
	prog := r.script("call", "#!/bin/sh\necho $INTERFACE >>\"$OUT\"\n[ $INTERFACE = b ] || (sleep 0.5; echo later >>\"$OUT\") &\n", 0o755)
	run := r.start(prog, 10*time.Second)
	run.Post(Event{Action: IfUp, Interface: "a"})
	run.Post(Event{Action: IfUp, Interface: "b"})
	r.until("a\nb\nlater\n")
}
