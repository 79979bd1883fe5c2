package proto

import (
	"net/netip"
	"strings"
)

// notify takes a message of the handler. The table of external.go says what may
// come when; what may not is refused.
func (h *external) notify(n *Notify, in *Input) []Output {
	action, ok := get[int64](n.Fields, "action")
	if !ok {
		return answer(StatusInvalid)
	}
	switch action {
	case actionUpdate:
		on, ok := boolOf(first(n.Fields, "link-up"))
		if !ok {
			return answer(StatusInvalid)
		}
		if !on {
			return h.message(onLinkDown, in)
		}
		return h.message(onUpdate, in)
	case actionRunCommand:
		return h.message(onRunTask, in)
	case actionKillCommand:
		return h.message(onKillTask, in)
	case actionError:
		out := notifyError(n)
		h.said = h.said || len(out) > 1
		return out
	case actionBlockRestart:
		return append([]Output{{Kind: BlockRestart}}, answer(StatusOK)...)
	case actionSetAvailable:
		on, ok := boolOf(first(n.Fields, "available"))
		if !ok {
			return answer(StatusInvalid)
		}
		return append([]Output{{Kind: SetAvailable, Available: on}}, answer(StatusOK)...)
	case actionHostDependency:
		return h.message(onHostDep, in)
	case actionSetupFailed:
		return h.message(onSetupFailed, in)
	}
	return answer(StatusInvalid)
}

func first(fields []Field, name string) any {
	v, _ := lookup(fields, name)
	return v
}

func answer(s Status) []Output { return []Output{{Kind: Answer, Status: s}} }

// message does a step of the table for a message; without one it is refused.
func (h *external) message(c cause, in *Input) []Output {
	if steps[h.phase][c] == nil {
		return answer(StatusDenied)
	}
	return h.do(c, in)
}

func fieldsOf(in *Input) []Field { return in.Payload.(*Notify).Fields }

// update takes a configuration that the handler has come to.
func (h *external) update(in *Input) []Output {
	u, err := ParseUpdate(fieldsOf(in), in.Now)
	if err != nil {
		return append([]Output{{Kind: Note, Message: "update refused: " + err.Error()}}, answer(StatusInvalid)...)
	}
	var out []Output
	if len(u.Left) > 0 {
		text := strings.Join(u.Left[:min(len(u.Left), 8)], "; ")
		out = append(out, Output{Kind: Note, Message: "left out of an update: " + text})
	}
	if u.Offer.L3Device == "" && in.Device == "" && (h.offer == nil || h.offer.L3Device == "") {
		return append([]Output{{Kind: Note, Message: "update refused: ifname: missing, and the interface has no device of its own"}},
			answer(StatusInvalid)...)
	}
	if u.Offer.L3Device == in.Device && u.Offer.Tunnel == nil {
		u.Offer.L3Device = ""
	}
	if h.phase == setup {
		h.offer = nil
		out = append(out, Output{Kind: WakeAt}) // no checkup any more
	}
	h.phase = up
	h.offer = mergeOffer(h.offer, u.Offer, u.Keep)
	out = append(out, Output{Kind: Offered, Offer: h.offer})
	return append(out, answer(StatusOK)...)
}

// linkDown: what was told is not valid any more; setup goes on.
func (h *external) linkDown(*Input) []Output {
	var out []Output
	if h.phase == up {
		h.phase, h.offer = setup, nil
		out = append(out, Output{Kind: Lost})
	}
	return append(out, answer(StatusOK)...)
}

// runTask starts the task; one that runs is replaced.
func (h *external) runTask(in *Input) []Output {
	args, ok := stringList(fieldsOf(in), "command", maxArgs)
	if !ok || len(args) == 0 || args[0] == "" {
		return answer(StatusInvalid)
	}
	env, ok := stringList(fieldsOf(in), "env", maxEnv)
	if !ok {
		return answer(StatusInvalid)
	}
	for _, e := range env {
		if name, _, found := strings.Cut(e, "="); !found || name == "" {
			return answer(StatusInvalid)
		}
	}
	h.running[Task], h.killed = true, false
	return append([]Output{{Kind: Run, Slot: Task, Args: args, Env: env, Dir: h.dir}}, answer(StatusOK)...)
}

func (h *external) killTask(in *Input) []Output {
	signal := int64(sigTerm)
	if v, there := lookup(fieldsOf(in), "signal"); there {
		var ok bool
		if signal, ok = v.(int64); !ok || signal < 1 || signal > 64 {
			return answer(StatusInvalid)
		}
	}
	if !h.running[Task] {
		return answer(StatusOK)
	}
	if signal == sigTerm || signal == sigKill {
		h.killed = true
	}
	return append([]Output{{Kind: Stop, Slot: Task, Signal: int(signal)}}, answer(StatusOK)...)
}

// hostDep: the interface needs the way to a host, which is given as an address:
// names are the script's to resolve.
func (h *external) hostDep(in *Input) []Output {
	o := Output{Kind: HostRoute}
	host, _ := get[string](fieldsOf(in), "host")
	o.Interface, _ = get[string](fieldsOf(in), "ifname")
	if host != "" {
		a, err := netip.ParseAddr(host)
		if err != nil || a.Zone() != "" || a.IsMulticast() {
			return answer(StatusInvalid)
		}
		o.Host = a.Unmap()
	}
	if o.Host.IsValid() && o.Host.IsUnspecified() {
		o.Host = netip.Addr{}
	}
	if !o.Host.IsValid() && o.Interface == "" {
		return answer(StatusInvalid)
	}
	// Whether it is there decides the answer: the core gives it.
	return []Output{o}
}

// setupFailed: the handler gives up; it has most often said why.
func (h *external) setupFailed(in *Input) []Output {
	return append(answer(StatusOK), h.fail(in, "", "")...)
}

// notifyError is an entry of errors[]: its code, and data.
func notifyError(n *Notify) []Output {
	l, ok := stringList(n.Fields, "error", maxErrors)
	if !ok || len(l) == 0 {
		return answer(StatusInvalid)
	}
	return append([]Output{{Kind: Report, Code: l[0], Data: l[1:]}}, answer(StatusOK)...)
}

// stringList reads a list of strings that may be missing.
func stringList(fields []Field, name string, most int) ([]string, bool) {
	v, there := lookup(fields, name)
	if !there {
		return nil, true
	}
	l, ok := v.([]any)
	if !ok || len(l) > most {
		return nil, false
	}
	var out []string
	for _, x := range l {
		s, ok := x.(string)
		if !ok || strings.ContainsRune(s, 0) {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}
