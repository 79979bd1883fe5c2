package rtnl

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

const threadNS = "/proc/thread-self/ns/net"

// NS is an open network namespace (namespaces(7)). It exists as long as it is
// open here, or something else holds it.
type NS struct {
	f *os.File
}

// NewNS makes a network namespace without a name. It needs CAP_SYS_ADMIN. Its
// loopback link is down.
func NewNS() (*NS, error) {
	var ns *NS
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("rtnl: make a network namespace: %w", err)
		}
		var err error
		ns, err = OpenNS(threadNS)
		return err
	})
	return ns, err
}

// OpenNS opens the network namespace at path: /run/netns/NAME,
// /proc/PID/ns/net.
func OpenNS(path string) (*NS, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("rtnl: open network namespace: %w", err)
	}
	return &NS{f: f}, nil
}

// FD is the file descriptor of the namespace; it belongs to n.
func (n *NS) FD() int { return int(n.f.Fd()) }

// Inode identifies the namespace among those that exist now.
func (n *NS) Inode() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(n.FD(), &st); err != nil {
		return 0, fmt.Errorf("rtnl: identify network namespace: %w", err)
	}
	return st.Ino, nil
}

// Do runs fn inside the namespace, as WithNS.
func (n *NS) Do(fn func() error) error { return WithNS(n.FD(), fn) }

// Close lets go of the namespace.
func (n *NS) Close() error { return n.f.Close() }

// errUnfinished is what the caller of WithNS sees when fn ended its goroutine
// (runtime.Goexit, testing.T.FailNow) instead of returning.
var errUnfinished = errors.New("rtnl: the function in the network namespace did not return")

// WithNS runs fn on a thread that is in the network namespace nsfd, and
// returns its error. What fn opens there (sockets, files below /sys and
// /proc/thread-self/net) stays of that namespace; a goroutine that fn starts
// is not in it. A negative nsfd, and the namespace that the caller's thread is
// in anyway, need no change and no privilege; others need CAP_SYS_ADMIN.
//
// The trap: a thread that could not return to its own namespace would later
// run any goroutine. fn runs on a goroutine of its own that is locked to its
// thread, and the thread ends with it unless it is where it was before.
func WithNS(nsfd int, fn func() error) error {
	if nsfd < 0 || sameNS(nsfd) {
		return fn()
	}
	return onThread(func() error {
		if err := unix.Setns(nsfd, unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("rtnl: enter network namespace: %w", err)
		}
		return fn()
	})
}

// onThread runs fn, which may change the namespace of its thread, on a thread
// that no other goroutine gets in that state. A panic of fn is passed on.
func onThread(fn func() error) error {
	type outcome struct {
		err   error
		panic any
	}
	done := make(chan outcome, 1)
	go func() {
		out := outcome{err: errUnfinished}
		defer func() {
			if out.err == errUnfinished {
				out.panic = recover()
			}
			done <- out
		}()
		runtime.LockOSThread() // without an unlock the thread ends with the goroutine
		home, err := os.Open(threadNS)
		if err != nil {
			out.err = fmt.Errorf("rtnl: open the own network namespace: %w", err)
			return
		}
		defer home.Close()
		defer func() {
			if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
				runtime.UnlockOSThread()
			}
		}()
		out.err = fn()
	}()
	out := <-done
	if out.panic != nil {
		panic(out.panic)
	}
	return out.err
}

// sameNS reports whether the calling thread is in the namespace nsfd. The
// answer holds if the goroutine is locked to its thread or if, as everywhere
// in this package, no unlocked thread is ever left in a foreign namespace.
func sameNS(nsfd int) bool {
	var theirs, ours unix.Stat_t
	if unix.Fstat(nsfd, &theirs) != nil || unix.Stat(threadNS, &ours) != nil {
		return false
	}
	return theirs.Dev == ours.Dev && theirs.Ino == ours.Ino
}
