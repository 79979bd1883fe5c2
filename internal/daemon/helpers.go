package daemon

import (
	"netbraid/internal/core"
	"netbraid/internal/helper"
	"netbraid/internal/proto"
)

var noHelpers = proto.Exit{Code: -1, Reason: "programs of protocol handlers cannot be run; see the log"}

// startHelpers starts the runner of programs of protocol handlers, and ends
// what an earlier daemon has left. It returns what ends it and them.
func (d *Daemon) startHelpers() (stop func()) {
	r, err := helper.Open(helper.Options{NSFD: d.o.NSFD, RunDir: d.o.RunDir, Socket: d.o.Socket, Env: d.o.HelperEnv,
		Log: d.log, Deliver: d.deliver})
	if err != nil {
		d.log.Error("programs of protocol handlers cannot be run", "error", err)
		return func() {}
	}
	d.helpers = r
	return r.Close
}

// help does what is about programs; false when the action is not.
func (d *Daemon) help(a core.Action) bool {
	switch a := a.(type) {
	case core.Spawn:
		if d.helpers == nil {
			go d.deliver(core.Exited{Program: a.Program, Exit: noHelpers})
			return true
		}
		d.helpers.Spawn(a)
	case core.Kill:
		if d.helpers != nil {
			d.helpers.Kill(a)
		}
	case core.Sweep:
		if d.helpers != nil {
			d.helpers.Sweep(a)
		}
	default:
		return false
	}
	return true
}
