package fib

import (
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/model"
)

// Status is how a Table stands.
type Status struct {
	// Phase is "disconnected", "dumping", "comparing", "settling" (connected;
	// waiting for Host.Settled, 10 s at most) or "up".
	Phase string
	// WantsDump tells that the last dump was not complete.
	WantsDump bool
	Routes    int // that the dataplane must have
	Have      int // that it has been told and has confirmed
	Tables    int
	PathSets  int
	Bytes     int // of entries and index, near enough
	Queued    int // operations to be emitted
	InFlight  int
	Waiting   int // refused, waiting for their next attempt
	// Unsupported are routes that this dataplane cannot have.
	Unsupported int
	// Differences are routes that are not as they must be: queued, in flight,
	// refused.
	Differences int
	// Unclaimed are routes that the dataplane has of us and no namespace has yet.
	Unclaimed int
	// Taken are routes that a namespace with a lower number has for the same
	// prefix of the same FIB.
	Taken int
	// Walking tells that routes are being looked at again.
	Walking bool
	// Skipped counts the routes of Linux that are not mirrored, by reason.
	Skipped []Skipped
	// Failures are some of the routes that were refused, in key order.
	Failures []Failure
}

// Skipped is a reason why routes are not mirrored.
type Skipped struct {
	NS     model.NS
	Reason string
	Routes int
}

// Failure is a route that the dataplane has refused.
type Failure struct {
	Key   dataplane.RouteKey
	Err   string
	Tries int       // in a row
	Retry time.Time // zero: not before the next connection
}

// Status tells how the table stands.
func (t *Table) Status() Status { return Status{} }

// Check tells whether the invariants of the table hold; it looks at everything
// and is for tests.
func (t *Table) Check() error { return nil }
