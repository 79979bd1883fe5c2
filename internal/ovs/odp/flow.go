package odp

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// Numbers of the attributes of a flow (enum ovs_flow_attr).
const (
	flowKey      = 1
	flowActions  = 2
	flowStats    = 3
	flowTCPFlags = 4
	flowUsed     = 5
	flowClear    = 6
	flowMask     = 7
	flowProbe    = 8
	flowUFID     = 9
	flowUFIDFlag = 10
)

// UFIDFlags leave parts of a flow out of the answer (OVS_UFID_F_*).
type UFIDFlags uint32

// What can be left out.
const (
	OmitKey     UFIDFlags = 1
	OmitMask    UFIDFlags = 2
	OmitActions UFIDFlags = 4
)

// Flow is a flow of a datapath as the kernel tells of it.
type Flow struct {
	Datapath uint32
	Match    Match
	Actions  []Action // none: packets are dropped
	Packets  uint64   // that the flow has taken
	Bytes    uint64
	// Used is when the last packet came, on CLOCK_MONOTONIC, in steps of the
	// kernel's tick (4 ms); 0: none has.
	Used     time.Duration
	TCPFlags uint8  // all that were seen since the flow was made
	UFID     string // 1 to 16 octets; empty: the flow has none
}

// ParseFlow reads the body of a message of ovs_flow.
func ParseFlow(body []byte) (Flow, error) {
	var f Flow
	err := f.Parse(body)
	return f, err
}

// Parse is ParseFlow into f, whose Actions are used again. After an error f has
// no meaning.
func (f *Flow) Parse(body []byte) error {
	h, attrs, err := ParseHeader(body)
	if err != nil {
		return err
	}
	*f = Flow{Datapath: h.Datapath, Actions: f.Actions[:0]}
	f.Match.Exact = true
	c := attributes(attrs)
	for c.Next() {
		switch c.Type {
		case flowKey:
			c.within(f.Match.Key.parse(c.Val))
		case flowMask:
			f.Match.Exact = false
			c.within(f.Match.Mask.parse(c.Val))
		case flowActions:
			f.Actions, err = parseActionsInto(f.Actions, c.Val)
			c.within(err)
		case flowStats:
			if c.Has(16) {
				f.Packets, f.Bytes = ne.Uint64(c.Val), ne.Uint64(c.Val[8:])
			}
		case flowTCPFlags:
			f.TCPFlags = c.U8()
		case flowUsed:
			f.Used = fromMilliseconds(c.U64())
		case flowUFID:
			f.UFID = string(c.Val)
		}
	}
	if c.Err != nil {
		return fmt.Errorf("odp: flow of datapath %d: %w", h.Datapath, c.Err)
	}
	return nil
}

// fromMilliseconds is bounded by the largest Duration, 292 years.
func fromMilliseconds(ms uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}

// FlowRequest is what is asked about a flow.
type FlowRequest struct {
	Datapath uint32
	Match    Match
	// RawKey, if there is one, is sent instead of Match.Key: the key of an
	// Upcall as it came, which the kernel accepts with any mask.
	RawKey  []byte
	Actions []Action
	// KeepActions leaves the actions out of CmdSet, which keeps them; a flow
	// without actions drops.
	KeepActions bool
	Clear       bool // of CmdSet: the counters begin anew
	// Probe silences the kernel's log about what it refuses.
	Probe bool
	// UFID identifies the flow instead of its key, 1 to 16 octets; Omit says
	// what the answer shall not have.
	UFID string
	Omit UFIDFlags
}

// AppendFlow appends the request cmd (CmdNew, CmdSet, CmdGet, CmdDel) about a
// flow; typ is the number of the family and flags are NLM_F_* beside
// NLM_F_REQUEST: CmdNew replaces the actions of a flow that is there, unless
// NLM_F_EXCL or NLM_F_CREATE forbids it. CmdDel with neither key nor UFID is refused here by leaving the
// message empty, because it would delete every flow: see AppendFlush.
func AppendFlow(b []byte, typ uint16, cmd uint8, flags uint16, r *FlowRequest) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, Header{cmd, Version(FamilyFlow), r.Datapath})
	keyAt := len(b)
	b = nlattr.Open(b, flowKey)
	empty := len(b)
	if r.RawKey != nil {
		b = append(b, r.RawKey...)
	} else {
		b = AppendKey(b, &r.Match.Key)
	}
	hasKey := len(b) > empty
	if hasKey {
		b = nlattr.Close(b, keyAt)
	} else {
		b = b[:keyAt]
	}
	if !hasKey && r.UFID == "" && cmd == CmdDel {
		return b[:start]
	}
	if !r.Match.Exact && hasKey && cmd != CmdGet && cmd != CmdDel {
		at := len(b)
		b = nlattr.Close(AppendKey(nlattr.Open(b, flowMask), &r.Match.Mask), at)
	}
	if cmd == CmdNew || cmd == CmdSet && !r.KeepActions {
		at := len(b)
		b = nlattr.Close(AppendActions(nlattr.Open(b, flowActions), r.Actions), at)
	}
	if r.Clear {
		b = nlattr.AppendRaw(b, flowClear, "")
	}
	if r.Probe {
		b = nlattr.AppendRaw(b, flowProbe, "")
	}
	if r.UFID != "" {
		b = nlattr.AppendRaw(b, flowUFID, r.UFID)
	}
	if r.Omit != 0 {
		b = nlattr.AppendU32(b, flowUFIDFlag, uint32(r.Omit))
	}
	return closeMessage(b, start)
}

// AppendFlush appends the request that deletes every flow of a datapath. There
// is no notification.
func AppendFlush(b []byte, typ, flags uint16, dp uint32) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, Header{CmdDel, Version(FamilyFlow), dp})
	return closeMessage(b, start)
}

// AppendFlowDump appends the request for all flows of a datapath, without what
// omit names.
func AppendFlowDump(b []byte, typ uint16, dp uint32, omit UFIDFlags) []byte {
	start := len(b)
	b = openMessage(b, typ, unix.NLM_F_DUMP, Header{CmdGet, Version(FamilyFlow), dp})
	if omit != 0 {
		b = nlattr.AppendU32(b, flowUFIDFlag, uint32(omit))
	}
	return closeMessage(b, start)
}
