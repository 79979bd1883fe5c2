package helper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/nstest"
	"netbraid/internal/proto"
)

type rig struct {
	t      *testing.T
	r      *Runner
	dir    string
	log    *nstest.Output
	events chan core.Exited
	gen    uint64
}

func newRig(t *testing.T, dir string) *rig {
	t.Helper()
	w := &rig{t: t, dir: dir, log: &nstest.Output{}, events: make(chan core.Exited, 100)}
	r, err := Open(Options{NSFD: -1, RunDir: dir, Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Deliver: func(ev core.Event) { w.events <- ev.(core.Exited) }})
	if err != nil {
		t.Fatal(err)
	}
	w.r = r
	t.Cleanup(r.Close)
	return w
}

func (w *rig) sh(slot proto.Slot, script string, env ...string) core.Program {
	w.gen++
	p := core.Program{Interface: "wan", Slot: slot, Generation: w.gen}
	w.r.Spawn(core.Spawn{Program: p, Args: []string{"sh", "-c", script}, Env: env, Dir: w.dir})
	return p
}

func (w *rig) exited(p core.Program) proto.Exit {
	w.t.Helper()
	select {
	case ev := <-w.events:
		if ev.Program != p {
			w.t.Fatalf("%+v has ended, not %+v", ev, p)
		}
		return ev.Exit
	case <-time.After(10 * time.Second):
		w.t.Fatalf("no end of %+v; log:\n%s", p, w.log)
	}
	panic("not reached")
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 10 s: " + what)
		}
	}
}

// pidIn reads a process id that a script has written.
func (w *rig) pidIn(name string) (pid int) {
	w.t.Helper()
	eventually(w.t, name, func() bool {
		b, _ := os.ReadFile(filepath.Join(w.dir, name))
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		pid = n
		return err == nil && strings.HasSuffix(string(b), "\n")
	})
	return pid
}

func alive(pid int) bool {
	p, ok := readStat(pid)
	return ok && p.state != 'Z'
}

// TestRun: how a program ends is told, with what it printed in the log and its
// surroundings as they are promised.
func TestRun(t *testing.T) {
	w := newRig(t, t.TempDir())
	p := w.sh(proto.Script, `echo "hello $A"; echo bad >&2; printf 'half\001'; pwd >out; echo "$PATH" >>out; ps -o sid= -p $$ >>out; echo $$ >>out; exit 3`, "A=b")
	if e := w.exited(p); e != (proto.Exit{Slot: proto.Script, Code: 3}) {
		t.Errorf("%+v", e)
	}
	b, _ := os.ReadFile(w.dir + "/out")
	f := strings.Fields(string(b))
	if len(f) != 4 || f[0] != w.dir || f[1] != searchPath(w.dir) || f[2] != f[3] {
		t.Errorf("%q", f)
	}
	for _, want := range []string{`msg="hello b" interface=wan program=sh`, "msg=bad", `msg="half`} {
		eventually(t, want, func() bool { return strings.Contains(w.log.String(), want) })
	}
	p = w.sh(proto.Task, `kill -9 $$`)
	if e := w.exited(p); e != (proto.Exit{Slot: proto.Task, Code: -1, Signal: 9}) {
		t.Errorf("%+v", e)
	}
	if n, _ := os.ReadDir(w.dir + "/helpers"); len(n) != 0 {
		t.Errorf("records of what has ended: %v", n)
	}
}

// TestNotStarted: what cannot be started is told like an end, with the reason.
func TestNotStarted(t *testing.T) {
	w := newRig(t, t.TempDir())
	if err := os.WriteFile(w.dir+"/plain", []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, args := range [][]string{{"no-such-program"}, {"./none"}, {w.dir}, {"./plain"}, {}} {
		p := core.Program{Interface: "wan", Slot: proto.Script, Generation: uint64(i + 1)}
		w.r.Spawn(core.Spawn{Program: p, Args: args, Dir: w.dir})
		if e := w.exited(p); e.Code != -1 || e.Reason == "" {
			t.Errorf("%q: %+v", args, e)
		}
	}
}

// TestKillTakesDescendants: also those in sessions of their own, and those whose
// parent has ended.
func TestKillTakesDescendants(t *testing.T) {
	w := newRig(t, t.TempDir())
	p := w.sh(proto.Script, `sleep 1000 & echo $! >group
setsid sh -c 'echo $$ >session; exec sleep 1000' &
sh -c 'setsid sh -c "echo \$\$ >orphan; trap : TERM; while :; do sleep 1000; done" & exit 0'
trap : TERM; while :; do sleep 1000; done`)
	pids := []int{w.pidIn("group"), w.pidIn("session"), w.pidIn("orphan")}
	w.r.Kill(core.Kill{Program: core.Program{Interface: "wan", Slot: proto.Script, Generation: 99}, Signal: 9}) // of another generation
	for _, pid := range pids {
		if !alive(pid) {
			t.Fatalf("process %d has gone already", pid)
		}
	}
	w.r.Kill(core.Kill{Program: p, Signal: 9})
	if e := w.exited(p); e.Signal != 9 {
		t.Errorf("%+v", e)
	}
	for _, pid := range pids {
		eventually(t, "the end of a descendant", func() bool { return !alive(pid) })
	}
}

// TestSignals: TERM goes to the group; another signal of a task to it alone.
func TestSignals(t *testing.T) {
	w := newRig(t, t.TempDir())
	p := w.sh(proto.Task, `trap 'echo one >usr1' USR1; trap 'exit 4' TERM; sleep 1000 & echo $! >child; while :; do wait; done`)
	child := w.pidIn("child")
	w.r.Kill(core.Kill{Program: p, Signal: 10})
	eventually(t, "USR1", func() bool { _, err := os.Stat(w.dir + "/usr1"); return err == nil })
	if !alive(child) {
		t.Error("USR1 has reached the child")
	}
	w.r.Kill(core.Kill{Program: p, Signal: 15})
	if e := w.exited(p); e.Code != 4 {
		t.Errorf("%+v", e)
	}
	eventually(t, "the end of the child", func() bool { return !alive(child) })
}

// TestSweep: what a script has left in the background goes with the interface,
// not before; what a later one has started stays.
func TestSweep(t *testing.T) {
	w := newRig(t, t.TempDir())
	p := w.sh(proto.Script, `setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >left`)
	w.exited(p)
	left := w.pidIn("left")
	p2 := w.sh(proto.Script, `echo $$ >next; exec sleep 1000`)
	next := w.pidIn("next")
	if !alive(left) {
		t.Fatal("gone already")
	}
	w.r.Sweep(core.Sweep{Interface: "other", Generation: 9})
	w.r.Sweep(core.Sweep{Interface: "wan", Generation: p.Generation})
	eventually(t, "the sweep", func() bool { return !alive(left) })
	time.Sleep(50 * time.Millisecond)
	if !alive(next) {
		t.Error("the sweep took what was started later")
	}
	w.r.Kill(core.Kill{Program: p2, Signal: 9})
	w.exited(p2)
}

// TestReplaced: a task started over another ends that one, whose end is told
// under its own name.
func TestReplaced(t *testing.T) {
	w := newRig(t, t.TempDir())
	a := w.sh(proto.Task, `echo $$ >a; exec sleep 1000`)
	w.pidIn("a")
	b := w.sh(proto.Task, `echo $$ >b; exec sleep 1000`)
	if e := w.exited(a); e.Signal != 15 {
		t.Errorf("%+v", e)
	}
	if !alive(w.pidIn("b")) {
		t.Error("the new one has gone too")
	}
	w.r.Kill(core.Kill{Program: b, Signal: 15})
	w.exited(b)
}

// TestFlood: a program that prints without end is held back and counted, and
// ends when told to.
func TestFlood(t *testing.T) {
	w := newRig(t, t.TempDir())
	p := w.sh(proto.Script, `while :; do echo flood; done`)
	long := w.sh(proto.Task, `head -c 100000 /dev/zero | tr '\0' x; echo; echo end`)
	eventually(t, "a count", func() bool { return strings.Contains(w.log.String(), "prints too much") })
	w.exited(long)
	w.r.Kill(core.Kill{Program: p, Signal: 9})
	w.exited(p)
	log := w.log.String()
	if n := strings.Count(log, "msg=flood"); n > 6*maxLines {
		t.Errorf("%d lines of the flood in the log", n)
	}
	for line := range strings.Lines(log) {
		if len(line) > maxLine+200 {
			t.Errorf("a line of %d octets", len(line))
		}
	}
	if strings.Count(log, "xxxx…") != 1 {
		t.Error("the long line is not there once, cut")
	}
}

// TestLeftovers: a new daemon ends what one that has died had running, with or
// without a mark, and nothing else.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	w := newRig(t, dir)
	w.r.instance += "0" // two daemons are one process here
	w.sh(proto.Task, `echo $$ >task; setsid sleep 1000 & echo $! >child; exec sleep 1000`)
	w.gen++
	w.r.Spawn(core.Spawn{Program: core.Program{Interface: "b/c", Slot: proto.Task, Generation: w.gen},
		Args: []string{"env", "-i", "sh", "-c", "echo $$ >bare; exec /bin/sleep 1000"}, Dir: dir})
	other := newRig(t, t.TempDir())
	other.sh(proto.Task, `echo $$ >task; exec sleep 1000`)
	pids := []int{w.pidIn("task"), w.pidIn("child"), w.pidIn("bare")}
	keep := other.pidIn("task")
	// As if the daemon had been killed. One program has its mark alone, one its
	// record.
	if err := os.Remove(dir + "/helpers/wan.task"); err != nil {
		t.Fatal(err)
	}
	next := newRig(t, dir)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if !alive(keep) {
		t.Error("a program of another daemon was ended")
	}
	if !strings.Contains(next.log.String(), "an earlier daemon") {
		t.Errorf("log: %s", next.log)
	}
}

// TestClose ends everything.
func TestClose(t *testing.T) {
	w := newRig(t, t.TempDir())
	w.sh(proto.Script, `trap : TERM; echo $$ >a; while :; do sleep 1000; done`)
	w.sh(proto.Task, `echo $$ >b; exec sleep 1000`)
	pids := []int{w.pidIn("a"), w.pidIn("b")}
	w.r.Close()
	w.r.Spawn(core.Spawn{Program: core.Program{Interface: "wan", Slot: proto.Task}, Args: []string{"sh", "-c", "touch after"}, Dir: w.dir})
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
	if _, err := os.Stat(w.dir + "/after"); err == nil {
		t.Error("a program was started after Close")
	}
	if len(w.events) != 0 {
		t.Error("an end is told after Close")
	}
}

// TestDiscover: good scripts count; what prints nonsense, hangs, floods or
// leaves children is a line in the log.
func TestDiscover(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(dir+"/proto", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/proto/"+name, []byte("#!/bin/sh\n"+text+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("a.sh", `[ "$1" = "" ] && [ "$2" = dump ] && [ "$PWD" = "`+dir+`/proto" ] && echo '{"name":"one","config":[["x",3]]}' && echo '{"name":"two"}'`, 0o755)
	write("b.sh", `echo nonsense; echo '{"name":"three"}'; echo '{"name":"one"}'; echo '{"name":"static"}'`, 0o755)
	write("c.sh", `echo $$ >hang.pid; setsid sleep 1000 & echo $! >hang.child; sleep 1000`, 0o755)
	write("d.sh", `while :; do echo flood; done`, 0o755)
	write("e.sh", `exit 1`, 0o755)
	write("f.sh", `echo '{"name":"four"}'; sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >left.pid`, 0o755)
	write("g.sh", `echo '{"name":"five"}'`, 0o644)
	write("h.txt", `echo '{"name":"six"}'`, 0o755)
	log := &nstest.Output{}
	reg := proto.Builtin()
	began := time.Now()
	Discover(context.Background(), dir, reg, nil, slog.New(slog.NewTextHandler(log, nil)))
	if d := time.Since(began); d > dumpTime+4*time.Second {
		t.Errorf("took %s", d)
	}
	if got := reg.Names(); !slices.Equal(got, []string{"four", "none", "one", "static", "three", "two"}) {
		t.Errorf("%q", got)
	}
	for _, want := range []string{"b.sh", "c.sh", "d.sh", "e.sh", "g.sh", "proto=one", "within 5s", "more than", "exit status 1", "permission"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	for _, f := range []string{"hang.pid", "hang.child", "left.pid"} {
		b, _ := os.ReadFile(dir + "/proto/" + f)
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprint(f, " gone"), func() bool { return !alive(pid) })
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7"
	p, ok := parseStat(3, []byte("3 (a) b (c)"+tail))
	if !ok || p != (process{pid: 3, parent: 7, group: 8, session: 9, start: 12345, state: 'S'}) {
		t.Errorf("%+v %v", p, ok)
	}
	for _, bad := range []string{"", "3 (a", "3 (a) S 1 2", "3 (a) S x" + tail[4:], "3 (a)" + strings.Replace(tail, "12345", "-", 1)} {
		if _, ok := parseStat(3, []byte(bad)); ok {
			t.Errorf("%q", bad)
		}
	}
	if _, ok := readStat(os.Getpid()); !ok {
		t.Error("no stat of this process")
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("3 (a) b (c) S 7 8 9 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 6 7"))
	f.Fuzz(func(_ *testing.T, b []byte) { parseStat(1, b) })
}

func FuzzParseMark(f *testing.F) {
	f.Add("_run_netbraid.12.34:5:wan:6")
	f.Fuzz(func(t *testing.T, s string) {
		if inst, g, iface, ok := parseMark(s); ok && !strings.HasPrefix(s, inst+":") || ok && !strings.HasSuffix(s, ":"+iface) || !ok && g != 0 && iface != "" {
			t.Errorf("%q: %q %d %q %v", s, inst, g, iface, ok)
		}
	})
}
