package proto

import (
	"fmt"
	"strconv"
	"time"
)

// The times of the protocol (netifd's).
const (
	abortTime    = time.Second     // from telling a setup to end until it is killed
	teardownTime = 5 * time.Second // from the begin of a teardown until all is killed
)

// sigTerm and sigKill are the signals (signal(7)).
const (
	sigKill = 9
	sigTerm = 15
)

// phase is where the handler stands. netifd's S_IDLE is down and up here: it
// has both.
type phase uint8

const (
	down     phase = iota // nothing runs, nothing is told
	setup                 // setup is running, or has ended and an update is expected
	up                    // an update with link-up has come
	aborting              // the setup has been told to end; teardown comes then
	teardown              // teardown is running
	phases
)

func (p phase) String() string {
	return [...]string{"down", "setup", "up", "abort", "teardown"}[p]
}

// cause is an input of the transition table.
type cause uint8

const (
	onSetup cause = iota
	onTeardown
	onForce
	onRenew
	onRestart
	onTimer
	onScriptEnd
	onTaskEnd
	onL3Gone
	onUpdate // link-up true
	onLinkDown
	onRunTask
	onKillTask
	onHostDep
	onSetupFailed
	causes
)

type step func(h *external, in *Input) []Output

// steps has every move: what is not in it does nothing. A message that is not
// in it is answered as refuse says.
var steps [phases][causes]step

// init fills the table: a literal would be an initialization cycle.
func init() {
	steps = [phases][causes]step{
		down: {
			onSetup:    (*external).begin,
			onTeardown: (*external).finished,
			onForce:    (*external).finished,
			onLinkDown: nothingToDo,
			onKillTask: nothingToDo,
		},
		setup: {
			onTeardown:    (*external).stop,
			onForce:       (*external).kill,
			onRenew:       (*external).queueRenew,
			onRestart:     (*external).queueRestart,
			onTimer:       (*external).checkup,
			onScriptEnd:   (*external).setupEnded,
			onTaskEnd:     (*external).taskEnded,
			onL3Gone:      (*external).l3Gone,
			onUpdate:      (*external).update,
			onLinkDown:    (*external).linkDown,
			onRunTask:     (*external).runTask,
			onKillTask:    (*external).killTask,
			onHostDep:     (*external).hostDep,
			onSetupFailed: (*external).setupFailed,
		},
		up: {
			onTeardown:    (*external).stop,
			onForce:       (*external).kill,
			onRenew:       (*external).queueRenew,
			onRestart:     (*external).queueRestart,
			onScriptEnd:   (*external).scriptEnded,
			onTaskEnd:     (*external).taskEnded,
			onL3Gone:      (*external).l3Gone,
			onUpdate:      (*external).update,
			onLinkDown:    (*external).linkDown,
			onRunTask:     (*external).runTask,
			onKillTask:    (*external).killTask,
			onHostDep:     (*external).hostDep,
			onSetupFailed: (*external).setupFailed,
		},
		aborting: {
			onForce:     (*external).kill,
			onTimer:     (*external).abortLate,
			onScriptEnd: (*external).abortEnded,
			onTaskEnd:   (*external).abortEnded,
			onLinkDown:  nothingToDo,
			onKillTask:  (*external).killTask,
		},
		teardown: {
			onForce:     (*external).kill,
			onTimer:     (*external).kill,
			onScriptEnd: (*external).teardownEnded,
			onTaskEnd:   (*external).teardownEnded,
			onLinkDown:  nothingToDo, // netifd refuses it, which only fills logs
			onKillTask:  (*external).killTask,
		},
	}
}

// external is the handler that stands for a program outside.
type external struct {
	name, script, dir string
	flags             Flags

	phase     phase
	running   map[Slot]bool
	killed    bool // the task has been told to end
	said      bool // the handler has said itself what is wrong
	lastError int  // exit status of the task; -1 for none
	renew     bool // to be done when the script has ended
	restart   bool
	offer     *Offer
}

// Handle is the contract of handlers.
func (h *external) Handle(in Input) []Output {
	if h.running == nil {
		h.running = map[Slot]bool{}
		h.lastError = -1
	}
	switch in.Kind {
	case Setup:
		return h.do(onSetup, &in)
	case Teardown:
		if in.Force {
			return h.do(onForce, &in)
		}
		return h.do(onTeardown, &in)
	case Renew:
		return h.do(onRenew, &in)
	case Restart:
		return h.do(onRestart, &in)
	case Timer:
		return h.do(onTimer, &in)
	case L3Gone:
		return h.do(onL3Gone, &in)
	case Ended:
		return h.ended(&in)
	case Message:
		if n, ok := in.Payload.(*Notify); ok {
			return h.notify(n, &in)
		}
	}
	return nil
}

func (h *external) do(c cause, in *Input) []Output {
	if f := steps[h.phase][c]; f != nil {
		return f(h, in)
	}
	return nil
}

func (h *external) busy() bool { return h.running[Script] || h.running[Task] }

// ended takes the end of a program.
func (h *external) ended(in *Input) []Output {
	slot := in.Exit.Slot
	if !h.running[slot] {
		return nil
	}
	delete(h.running, slot)
	var out []Output
	if in.Exit.Reason != "" {
		out = append(out, Output{Kind: Report, Code: "EXEC_FAILED", Message: in.Exit.Reason})
	}
	if slot == Script {
		return append(out, h.do(onScriptEnd, in)...)
	}
	if in.Exit.Signal == 0 && in.Exit.Code >= 0 {
		h.lastError = in.Exit.Code
	}
	return append(out, h.do(onTaskEnd, in)...)
}

// run starts the script with a verb.
func (h *external) run(verb string, in *Input, env ...string) Output {
	h.running[Script] = true
	args := []string{h.script, h.name, verb, in.Config.Name, in.Config.ProtoConfig}
	if in.Device != "" && !h.flags.NoDevice {
		args = append(args, in.Device)
	}
	return Output{Kind: Run, Slot: Script, Args: args, Env: env, Dir: h.dir}
}

func (h *external) begin(in *Input) []Output {
	h.phase = setup
	h.lastError, h.renew, h.restart, h.killed, h.said, h.offer = -1, false, false, false, false, nil
	return []Output{{Kind: WakeAt}, h.run("setup", in)}
}

func (h *external) finished(*Input) []Output { return []Output{{Kind: Finished}} }

func nothingToDo(*external, *Input) []Output { return []Output{{Kind: Answer, Status: StatusOK}} }

// stop begins the way down: what is running is told to end first.
func (h *external) stop(in *Input) []Output {
	h.renew, h.restart = false, false
	if !h.running[Script] {
		return h.tearDown(in)
	}
	h.phase = aborting
	out := []Output{{Kind: Stop, Slot: Script, Signal: sigTerm}}
	if h.running[Task] {
		out = append(out, Output{Kind: Stop, Slot: Task, Signal: sigTerm})
	}
	return append(out, Output{Kind: WakeAt, At: in.Now.Add(abortTime)})
}

// abortLate ends a setup that does not end by itself.
func (h *external) abortLate(in *Input) []Output {
	return append(h.stopAll(sigKill), h.abortEnded(in)...)
}

// stopAll sends a signal to whatever runs.
func (h *external) stopAll(signal int) (out []Output) {
	for _, s := range []Slot{Script, Task} {
		if h.running[s] {
			out = append(out, Output{Kind: Stop, Slot: s, Signal: signal})
		}
	}
	return out
}

func (h *external) abortEnded(in *Input) []Output {
	if h.busy() {
		return nil
	}
	return h.tearDown(in)
}

// tearDown runs the script with teardown.
func (h *external) tearDown(in *Input) []Output {
	h.phase = teardown
	h.killed = false
	var env []string
	if h.lastError >= 0 {
		env = []string{"ERROR=" + strconv.Itoa(h.lastError)}
	}
	return []Output{h.run("teardown", in, env...), {Kind: WakeAt, At: in.Now.Add(teardownTime)}}
}

// teardownEnded goes on when a program has ended: a task that the script has
// not ended is told to.
func (h *external) teardownEnded(*Input) []Output {
	switch {
	case h.running[Script]:
		return nil
	case h.running[Task] && !h.killed:
		h.killed = true
		return []Output{{Kind: Stop, Slot: Task, Signal: sigTerm}}
	case h.running[Task]:
		return nil
	}
	return h.over()
}

// over is the end of everything.
func (h *external) over() []Output {
	h.phase, h.offer = down, nil
	return []Output{{Kind: WakeAt}, {Kind: Finished}}
}

// kill ends all at once. What has been killed is waited for: it is ended by the
// kernel, and nothing is down before that.
func (h *external) kill(*Input) []Output {
	h.phase = teardown
	if !h.busy() {
		return h.over()
	}
	h.killed = true
	return append(h.stopAll(sigKill), Output{Kind: WakeAt})
}

// fail takes the interface down from inside: what was told is lost, and the
// interface tries again.
func (h *external) fail(in *Input, code, why string) []Output {
	var out []Output
	if code != "" && !h.said {
		out = append(out, Output{Kind: Report, Code: code, Message: why})
	}
	if h.phase == up {
		out = append(out, Output{Kind: Lost})
		h.offer = nil
	}
	out = append(out, Output{Kind: WakeAt})
	return append(out, h.stop(in)...)
}

// setupEnded: the setup script has ended before it has told an update.
func (h *external) setupEnded(in *Input) []Output {
	if out, more := h.queued(in); more {
		return out
	}
	if !h.running[Task] && !h.flags.NoTask {
		return h.fail(in, "SETUP_FAILED", "the setup of "+h.name+" has ended ("+in.Exit.String()+
			") without an update and without a task")
	}
	if d := in.Config.CheckupInterval; d > 0 {
		return []Output{{Kind: WakeAt, At: in.Now.Add(d)}}
	}
	return nil
}

// checkup is the timer of the setup.
func (h *external) checkup(in *Input) []Output {
	return h.fail(in, "SETUP_TIMEOUT", fmt.Sprintf("nothing has come of the setup of %s within checkup_interval, %s",
		h.name, in.Config.CheckupInterval))
}

// scriptEnded: a script has ended while up.
func (h *external) scriptEnded(in *Input) []Output {
	out, _ := h.queued(in)
	return out
}

// queued runs what was asked for while a script was running.
func (h *external) queued(in *Input) ([]Output, bool) {
	switch {
	case h.restart:
		h.restart, h.renew = false, false
		return []Output{h.run("restart", in)}, true
	case h.renew:
		h.renew = false
		return []Output{h.run("renew", in)}, true
	}
	return nil, false
}

func (h *external) queueRenew(in *Input) []Output {
	if !h.flags.Renew {
		return nil
	}
	h.renew = true
	return h.unlessBusy(in)
}

func (h *external) queueRestart(in *Input) []Output {
	if !h.flags.Restart {
		return nil
	}
	h.restart = true
	return h.unlessBusy(in)
}

func (h *external) unlessBusy(in *Input) []Output {
	if h.running[Script] {
		return nil
	}
	out, _ := h.queued(in)
	return out
}

// taskEnded: the task has ended by itself, or because the script has ended it
// to start another.
func (h *external) taskEnded(in *Input) []Output {
	code, why := "", ""
	if !h.killed {
		code, why = "TASK_EXITED", "the task of "+h.name+" has ended ("+in.Exit.String()+")"
	}
	h.killed = false
	return h.fail(in, code, why)
}

// String is the end of a program in words.
func (e Exit) String() string {
	switch {
	case e.Reason != "":
		return "not started"
	case e.Signal != 0:
		return "signal " + strconv.Itoa(e.Signal)
	case e.Code < 0:
		return "exit status unknown"
	}
	return "exit status " + strconv.Itoa(e.Code)
}

func (h *external) l3Gone(in *Input) []Output {
	return h.fail(in, "DEVICE_LOST", "the layer 3 device is not there, or has no carrier")
}
