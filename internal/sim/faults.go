package sim

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

type fault struct {
	match func(h rtnl.Header, body []byte) bool
	errno unix.Errno
}

// faults are the failures that a test has ordered.
type faults struct {
	next      []fault
	interrupt bool
	truncate  bool
}

func (f *faults) take(h rtnl.Header, body []byte) *rtnl.Error {
	for i, one := range f.next {
		if one.match == nil || one.match(h, body) {
			f.next = append(f.next[:i:i], f.next[i+1:]...)
			return fail(one.errno, "")
		}
	}
	return nil
}

// FailNext makes the next request or dump that match accepts (every one, if
// match is nil) fail with errno and change nothing. Several orders are taken
// in the order given, each once.
func (k *Kernel) FailNext(match func(h rtnl.Header, body []byte) bool, errno unix.Errno) {
	k.faults.next = append(k.faults.next, fault{match, errno})
}

// InterruptDump sets NLM_F_DUMP_INTR on the next dump, from its second half
// on, as when a table changes under it.
func (k *Kernel) InterruptDump() { k.faults.interrupt = true }

// TruncateDump makes the next dump end in its middle, without NLMSG_DONE.
func (k *Kernel) TruncateDump() { k.faults.truncate = true }

// Overflow makes the notification socket lose messages now, as if it were
// full: the next Receive reports it.
func (k *Kernel) Overflow() { k.queue.overrun() }
