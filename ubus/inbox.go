package ubus

import (
	"context"
	"sync"
)

// inbox runs handlers one after the other on a goroutine of its own, so that
// they may wait for answers that the reading goroutine brings.
type inbox struct {
	mu     sync.Mutex
	wake   sync.Cond
	items  []inboxItem
	bytes  int
	closed bool
	inside bool // a handler runs
}

type inboxItem struct {
	run  func()
	size int
}

func newInbox() *inbox {
	q := &inbox{}
	q.wake.L = &q.mu
	return q
}

// add queues a handler; false when the inbox is full. size is the memory that
// the item holds.
func (q *inbox) add(size int, run func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return true
	}
	if len(q.items) >= inboxItems || q.bytes+size > inboxBytes {
		return false
	}
	q.items = append(q.items, inboxItem{run, size})
	q.bytes += size
	q.wake.Signal()
	return true
}

// run works until the inbox is closed; what is queued then is dropped.
func (q *inbox) run() {
	for {
		q.mu.Lock()
		q.inside = false
		for len(q.items) == 0 && !q.closed {
			q.wake.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return
		}
		item := q.items[0]
		q.items[0] = inboxItem{}
		q.items = q.items[1:]
		q.bytes -= item.size
		q.inside = true
		q.mu.Unlock()
		item.run()
	}
}

func (q *inbox) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.wake.Broadcast()
}

// isCaller says whether a handler runs, which may be who asks.
func (q *inbox) isCaller() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.inside
}

// waitEmpty blocks until all is written; false when the queue was closed or
// ctx ended. kick makes it look at ctx.
func (q *outQueue) waitEmpty(ctx context.Context) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes > 0 && !q.closed && ctx.Err() == nil {
		q.wake.Wait()
	}
	return q.bytes == 0
}

func (q *outQueue) kick() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wake.Broadcast()
}
