package memory

import (
	"sync"

	"netbraid/internal/dataplane"
)

// Shared is a World that works by itself and may be used by several goroutines.
type Shared struct {
	mu   sync.Mutex
	wake *sync.Cond
	w    *World
}

// Share puts a World, which must not be used directly any more, behind a lock.
func Share(w *World) *Shared {
	s := &Shared{w: w}
	s.wake = sync.NewCond(&s.mu)
	return s
}

// With calls f with the World, and lets what f has caused be told.
func (s *Shared) With(f func(*World)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.w)
	s.wake.Broadcast()
}

// Start gives a client that delivers from a goroutine of its own until Close.
func (s *Shared) Start(deliver func(dataplane.Event)) dataplane.Dataplane {
	r := &runner{s: s, done: make(chan struct{})}
	s.With(func(w *World) { r.p = w.Plane() })
	go r.run(deliver)
	return r
}

type runner struct {
	s    *Shared
	p    *Plane
	done chan struct{}
}

func (r *runner) run(deliver func(dataplane.Event)) {
	defer close(r.done)
	for {
		r.s.mu.Lock()
		ev, ok := r.p.Take()
		for !ok && !r.p.closed {
			if !r.p.Work() {
				r.s.wake.Wait()
			}
			ev, ok = r.p.Take()
		}
		closed := r.p.closed
		r.s.mu.Unlock()
		if closed {
			return
		}
		deliver(ev)
	}
}

func (r *runner) Connect(epoch uint32) { r.s.With(func(*World) { r.p.Connect(epoch) }) }

func (r *runner) Dump(epoch uint32, k dataplane.Kind) { r.s.With(func(*World) { r.p.Dump(epoch, k) }) }

func (r *runner) Write(epoch uint32, b dataplane.Batch) {
	r.s.With(func(*World) { r.p.Write(epoch, b) })
}

func (r *runner) Close() {
	r.s.With(func(*World) { r.p.Close() })
	<-r.done
}
