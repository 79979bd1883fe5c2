package proto

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"netbraid/internal/config"
)

var began = time.Unix(1000, 0)

// rig plays an interface and a shell around a handler, and writes down what the
// handler says.
type rig struct {
	h   Handler
	now time.Time
	cfg config.Interface
}

func newRig(dump string) *rig {
	s, err := Describe([]byte(dump), "./x.sh", "/lib/netifd/proto")
	if err != nil {
		panic(err)
	}
	return &rig{h: s.New(), now: began, cfg: config.Interface{Name: "wan", Proto: s.Name, ProtoConfig: `{"proto":"x"}`}}
}

const plain = `{"name":"x","renew-handler":true,"restart-handler":true}`

func (r *rig) in(k InputKind, more ...func(*Input)) string {
	in := Input{Kind: k, Now: r.now, Config: &r.cfg, Device: "eth0"}
	for _, f := range more {
		f(&in)
	}
	var out []string
	for _, o := range r.h.Handle(in) {
		out = append(out, show(&o, r.now))
	}
	return strings.Join(out, "; ")
}

func show(o *Output, now time.Time) string {
	switch o.Kind {
	case Offered:
		return "offered"
	case Lost:
		return "lost"
	case Finished:
		return "finished"
	case WakeAt:
		if o.At.IsZero() {
			return "no timer"
		}
		return "timer " + o.At.Sub(now).String()
	case Run:
		if o.Slot == Task {
			return "task " + strings.Join(append(o.Env, o.Args...), " ")
		}
		return strings.Join(append(o.Env, o.Args[2]), " ")
	case Stop:
		return fmt.Sprintf("kill -%d %s", o.Signal, o.Slot)
	case Report:
		return "error " + strings.Join(append([]string{o.Code}, o.Data...), ",")
	case Answer:
		return fmt.Sprint(o.Status)
	case BlockRestart:
		return "block"
	case SetAvailable:
		return fmt.Sprint("available ", o.Available)
	case HostRoute:
		return "host " + o.Host.String() + " " + o.Interface
	case Note:
		return "note"
	}
	return fmt.Sprint("output ", o.Kind)
}

func force(in *Input) { in.Force = true }

func exit(slot Slot, code int) func(*Input) {
	return func(in *Input) { in.Exit = Exit{Slot: slot, Code: code} }
}

func message(fields ...Field) func(*Input) {
	return func(in *Input) { in.Payload = &Notify{Fields: fields} }
}

func action(n int64, more ...Field) func(*Input) {
	return message(append([]Field{{"action", n}}, more...)...)
}

var (
	linkUp   = action(0, Field{"link-up", true})
	linkDown = action(0, Field{"link-up", false})
	runTask  = action(1, Field{"command", []any{"sleep", "9"}}, Field{"env", []any{"A=b"}})
)

// TestStories: the ways through the states, each as what is told and what the
// handler says to it.
func TestStories(t *testing.T) {
	type line struct {
		kind InputKind
		more func(*Input)
		want string
	}
	none := func(*Input) {}
	for _, c := range []struct {
		name, dump string
		lines      []line
	}{
		{"up and down", plain, []line{
			{Setup, none, "no timer; setup"},
			{Message, runTask, "task A=b sleep 9; 0"},
			{Message, linkUp, "no timer; offered; 0"},
			{Ended, exit(Script, 0), ""},
			{Teardown, none, "teardown; timer 5s"},
			{Message, linkUp, "6"},
			{Message, linkDown, "0"},
			{Message, action(2), "kill -15 task; 0"},
			{Ended, exit(Script, 0), ""},
			{Ended, exit(Task, 0), "no timer; finished"},
			{Ended, exit(Task, 0), ""},
			{Timer, none, ""},
		}},
		{"teardown that leaves its task", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"}, {Ended, exit(Script, 0), ""},
			{Message, linkUp, "no timer; offered; 0"},
			{Teardown, none, "teardown; timer 5s"},
			{Ended, exit(Script, 0), "kill -15 task"},
			{Timer, none, "kill -9 task; no timer"},
			{Ended, exit(Task, -1), "no timer; finished"},
		}},
		{"teardown that hangs", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, linkUp, "no timer; offered; 0"}, {Ended, exit(Script, 0), ""},
			{Teardown, none, "teardown; timer 5s"},
			{Timer, none, "kill -9 script; no timer"},
			{Ended, exit(Script, -1), "no timer; finished"},
		}},
		{"abort of a slow setup", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"},
			{Teardown, none, "kill -15 script; kill -15 task; timer 1s"},
			{Message, linkUp, "6"}, {Message, runTask, "6"},
			{Teardown, none, ""},
			{Ended, exit(Script, 143), ""},
			{Timer, none, "kill -9 task"},
			{Ended, exit(Task, 7), "ERROR=7 teardown; timer 5s"},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"force in the middle of a setup", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"},
			{Teardown, force, "kill -9 script; kill -9 task; no timer"},
			{Ended, exit(Task, -1), ""},
			{Ended, exit(Script, -1), "no timer; finished"},
			{Teardown, force, "finished"},
		}},
		{"the task dies while up", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"},
			{Message, linkUp, "no timer; offered; 0"}, {Ended, exit(Script, 0), ""},
			{Ended, exit(Task, 11), "error TASK_EXITED; lost; no timer; ERROR=11 teardown; timer 5s"},
			{Teardown, none, ""},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"the task dies while setup runs", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"},
			{Ended, exit(Task, 1), "error TASK_EXITED; no timer; kill -15 script; timer 1s"},
			{Ended, exit(Script, 143), "ERROR=1 teardown; timer 5s"},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"setup without task and update", plain, []line{
			{Setup, none, "no timer; setup"},
			{Ended, exit(Script, 3), "error SETUP_FAILED; no timer; teardown; timer 5s"},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"setup that needs no task", `{"name":"x","no-proto-task":1}`, []line{
			{Setup, none, "no timer; setup"}, {Ended, exit(Script, 0), ""},
			{Message, linkUp, "no timer; offered; 0"},
			{Renew, none, ""}, {Restart, none, ""},
		}},
		{"the script gives up", plain, []line{
			{Setup, none, "no timer; setup"},
			{Message, action(3, Field{"error", []any{"SETUP_FAIL", "a", "b"}}), "error SETUP_FAIL,a,b; 0"},
			{Message, action(7), "0; no timer; kill -15 script; timer 1s"},
			{Message, action(7), "6"},
			{Ended, exit(Script, 0), "teardown; timer 5s"},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"renew and restart wait for the script", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, linkUp, "no timer; offered; 0"},
			{Renew, none, ""}, {Renew, none, ""},
			{Ended, exit(Script, 0), "renew"},
			{Restart, none, ""},
			{Ended, exit(Script, 0), "restart"},
			{Ended, exit(Script, 0), ""},
			{Renew, none, "renew"},
			{Restart, none, ""},
			{Teardown, none, "kill -15 script; timer 1s"}, // and what waits is dropped
			{Ended, exit(Script, 0), "teardown; timer 5s"},
			{Renew, none, ""},
			{Ended, exit(Script, 0), "no timer; finished"},
		}},
		{"link down is a loss", plain, []line{
			{Setup, none, "no timer; setup"}, {Message, runTask, "task A=b sleep 9; 0"}, {Message, linkUp, "no timer; offered; 0"},
			{Message, linkDown, "lost; 0"}, {Message, linkDown, "0"}, {Ended, exit(Script, 0), ""},
			{Message, linkUp, "no timer; offered; 0"},
			{L3Gone, none, "error DEVICE_LOST; lost; no timer; teardown; timer 5s"},
		}},
		{"a program that cannot be started", plain, []line{
			{Setup, none, "no timer; setup"},
			{Ended, func(in *Input) { in.Exit = Exit{Slot: Script, Code: -1, Reason: "no such file"} },
				"error EXEC_FAILED; error SETUP_FAILED; no timer; teardown; timer 5s"},
		}},
		{"what the script has said is enough", plain, []line{
			{Setup, none, "no timer; setup"},
			{Message, action(3, Field{"error", []any{"MY_ERROR"}}), "error MY_ERROR; 0"},
			{Ended, exit(Script, 0), "no timer; teardown; timer 5s"},
			{Ended, exit(Script, 0), "no timer; finished"},
			{Setup, none, "no timer; setup"}, {Ended, exit(Script, 0), "error SETUP_FAILED; no timer; teardown; timer 5s"},
		}},
		{"messages that need no setup", plain, []line{
			{Message, action(3, Field{"error", []any{"E"}}), "error E; 0"},
			{Message, action(4), "block; 0"},
			{Message, action(5, Field{"available", int64(0)}), "available false; 0"},
			{Message, action(2), "0"}, {Message, linkDown, "0"},
			{Message, linkUp, "6"}, {Message, runTask, "6"}, {Message, action(7), "6"},
			{Message, action(6, Field{"host", "192.0.2.1"}), "6"},
		}},
		{"messages that say nothing", plain, []line{
			{Setup, none, "no timer; setup"},
			{Message, message(), "2"}, {Message, action(9), "2"}, {Message, message(Field{"action", "0"}), "2"},
			{Message, action(0), "2"}, {Message, action(0, Field{"link-up", "yes"}), "2"},
			{Message, action(0, Field{"link-up", true}, Field{"ifname", "a/b"}), "note; 2"},
			{Message, action(1), "2"}, {Message, action(1, Field{"command", []any{}}), "2"},
			{Message, action(1, Field{"command", []any{"a\x00"}}), "2"}, {Message, action(1, Field{"command", make([]any, 64)}), "2"},
			{Message, action(1, Field{"command", []any{"a"}}, Field{"env", []any{"=x"}}), "2"},
			{Message, action(2, Field{"signal", int64(99)}), "2"}, {Message, action(3), "2"}, {Message, action(5), "2"},
			{Message, action(6), "2"}, {Message, action(6, Field{"host", "name.example"}), "2"},
			{Message, action(6, Field{"host", "192.0.2.1"}, Field{"ifname", "wan2"}), "host 192.0.2.1 wan2"},
			{Message, action(6, Field{"host", "0.0.0.0"}, Field{"ifname", "wan2"}), "host invalid IP wan2"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(c.dump)
			for i, l := range c.lines {
				if got := r.in(l.kind, l.more); got != l.want {
					t.Fatalf("line %d: %q, want %q", i, got, l.want)
				}
			}
		})
	}
}

// TestAsks4Checkup: a setup that brings nothing is given up after
// checkup_interval (netifd-asks 4: no reconnect before a network restart).
func TestAsks4Checkup(t *testing.T) {
	r := newRig(plain)
	r.cfg.CheckupInterval = 3 * time.Second
	r.in(Setup)
	r.in(Message, runTask)
	if got := r.in(Ended, exit(Script, 0)); got != "timer 3s" {
		t.Fatal(got)
	}
	if got := r.in(Timer); got != "error SETUP_TIMEOUT; no timer; teardown; timer 5s" {
		t.Fatal(got)
	}
	// One that comes in time ends the wait.
	r = newRig(plain)
	r.cfg.CheckupInterval = 3 * time.Second
	r.in(Setup)
	r.in(Message, runTask)
	r.in(Ended, exit(Script, 0))
	if got := r.in(Message, linkUp); got != "no timer; offered; 0" {
		t.Fatal(got)
	}
}

// TestEveryWay walks at random and holds that a handler whose interface forces
// it down ends, whatever it was doing, with nothing left running.
func TestEveryWay(t *testing.T) {
	for seed := range uint64(2000) {
		walk(t, rand.New(rand.NewPCG(seed, 1)), seed)
	}
}

func walk(t *testing.T, rng *rand.Rand, seed uint64) {
	t.Helper()
	r := newRig(plain)
	if rng.IntN(3) == 0 {
		r.cfg.CheckupInterval = time.Second
	}
	running := map[Slot]bool{}
	finished := true
	feed := func(k InputKind, more ...func(*Input)) {
		in := Input{Kind: k, Now: r.now, Config: &r.cfg, Device: "eth0"}
		for _, f := range more {
			f(&in)
		}
		if k == Ended {
			delete(running, in.Exit.Slot)
		}
		for _, o := range r.h.Handle(in) {
			switch o.Kind {
			case Run:
				if o.Slot == Script && running[Script] {
					t.Fatalf("seed %d: two scripts at once", seed)
				}
				running[o.Slot] = true
			case Stop:
				if !running[o.Slot] {
					t.Fatalf("seed %d: %s is stopped and does not run", seed, o.Slot)
				}
			case Finished:
				if len(running) > 0 {
					t.Fatalf("seed %d: finished while %v runs", seed, running)
				}
				finished = true
			case Offered:
				if finished {
					t.Fatalf("seed %d: an offer after the end", seed)
				}
			}
		}
	}
	for range 40 {
		switch rng.IntN(10) {
		case 0:
			if finished {
				finished = false
				feed(Setup)
			}
		case 1:
			feed(Teardown)
		case 2:
			feed(Message, []func(*Input){linkUp, linkDown, runTask, action(2), action(7)}[rng.IntN(5)])
		case 3:
			feed([]InputKind{Renew, Restart, L3Gone}[rng.IntN(3)])
		case 4:
			feed(Timer)
		default:
			for _, s := range []Slot{Script, Task} {
				if running[s] && rng.IntN(2) == 0 {
					feed(Ended, exit(s, rng.IntN(3)))
				}
			}
		}
	}
	feed(Teardown, force)
	for _, s := range slices.Sorted(func(yield func(Slot) bool) {
		for k := range running {
			if !yield(k) {
				return
			}
		}
	}) {
		feed(Ended, exit(s, -1))
	}
	if !finished || len(running) > 0 {
		t.Fatalf("seed %d: forced down and not finished, %v runs", seed, running)
	}
}
