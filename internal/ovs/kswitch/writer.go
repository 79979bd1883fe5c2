package kswitch

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// families are the numbers of the generic netlink families that we write to.
type families struct{ flow, packet uint16 }

// What a request of the writer is, in the lower bits of its sequence number, so
// that a refusal tells what it is about.
const (
	seqPut uint32 = iota
	seqDelete
	seqExecute
	seqKinds
)

var seqNames = [seqKinds]string{"put flow", "delete flow", "execute actions"}

// maxBatch is how many octets of requests are sent at once; less than the send
// buffer by more than one request.
const maxBatch = 256 << 10

// writer collects requests to one datapath and sends them without asking for
// acknowledgements: the kernel does them while they are sent, and answers only
// to what it refuses.
type writer struct {
	sock    *socket
	fam     families
	tunnels *tunnels
	dp      uint32
	buf     []byte
	answers []byte
	actions []odp.Action
	seq     uint32

	puts, deletes, executes, refused uint64
	lastRefusal                      error
}

func newWriter(nsfd int, fam families, dp uint32) (*writer, error) {
	s, err := openSocket(nsfd, sendBuffer)
	if err != nil {
		return nil, err
	}
	return &writer{sock: s, fam: fam, dp: dp, answers: make([]byte, 2*maxDatagram)}, nil
}

// change asks for a change of a flow.
func (w *writer) change(c *l2.Change) {
	start := len(w.buf)
	r := odp.FlowRequest{Datapath: w.dp, Match: w.tunnels.match(c.Key)}
	if c.Delete {
		w.buf = odp.AppendFlow(w.buf, w.fam.flow, odp.CmdDel, 0, &r)
		w.done(start, seqDelete)
		w.deletes++
		return
	}
	w.actions = w.tunnels.appendActions(w.actions[:0], c.Actions)
	r.Actions = w.actions
	// Neither NLM_F_EXCL nor NLM_F_CREATE, of which the datapath makes the same:
	// a flow that is there gets these actions.
	w.buf = odp.AppendFlow(w.buf, w.fam.flow, odp.CmdNew, 0, &r)
	w.done(start, seqPut)
	w.puts++
}

// execute asks for actions on a frame.
func (w *writer) execute(u *odp.Upcall, actions []l2.Action) {
	start := len(w.buf)
	w.actions = w.tunnels.appendActions(w.actions[:0], actions)
	w.buf = odp.AppendExecute(w.buf, w.fam.packet, 0, &odp.ExecuteRequest{
		Datapath: w.dp, Packet: u.Packet, RawKey: u.RawKey, Actions: w.actions, Hash: u.Hash, MRU: u.MRU,
	})
	w.done(start, seqExecute)
	w.executes++
}

func (w *writer) done(start int, kind uint32) {
	w.seq++
	setSeq(w.buf, start, w.seq*seqKinds+kind)
	if len(w.buf) >= maxBatch {
		w.flush()
	}
}

// flush sends what was asked for and reads what was refused.
func (w *writer) flush() {
	if len(w.buf) == 0 {
		return
	}
	if err := w.sock.send(w.buf); err != nil {
		w.refused++
		w.lastRefusal = fmt.Errorf("send %d octets of requests: %w", len(w.buf), err)
	}
	w.buf = w.buf[:0]
	for {
		n := 0
		overruns, err := w.sock.receive(w.answers, maxAnswers, false, func(b []byte) {
			n++
			eachMessage(b, w.refusal)
		})
		w.refused += uint64(overruns)
		if n == 0 || err != nil {
			return
		}
	}
}

func (w *writer) refusal(m message) bool {
	if m.typ != unix.NLMSG_ERROR {
		return true
	}
	kind, errno := m.seq%seqKinds, m.errorOf()
	if errno == 0 || kind == seqDelete && errno == syscall.ENOENT {
		return true // it is gone, as it should be
	}
	w.refused++
	w.lastRefusal = fmt.Errorf("%s: %w", seqNames[kind], errno)
	return true
}
