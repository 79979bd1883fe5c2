package monitor

import (
	"sync"
	"time"
)

// place is where notifications were lost.
type place uint8

const (
	nowhere  place = iota
	inKernel       // the socket's receive buffer was full
	inQueue        // the output took too long, our queue was full
)

// item is a piece of the stream: notifications, or the fact that here some are
// missing.
type item struct {
	at    time.Time // when it was read
	batch []byte    // whole messages
	lost  place     // nowhere: nothing was
	count uint64    // of what was lost; 0: nobody knows
}

// itemCost is what an item takes besides its batch, about.
const itemCost = 128

// feed is the queue between the one who reads and the one who prints. It never
// holds more than limit octets, and never makes the reader wait: what does not
// fit is counted where it would have been.
type feed struct {
	limit  int
	weigh  func(batch []byte) uint64 // how many notifications a batch has
	wake   chan struct{}             // there is something to take, or the end
	mu     sync.Mutex
	items  []item
	octets int
	ended  bool
}

func newFeed(limit int, weigh func([]byte) uint64) *feed {
	return &feed{limit: limit, weigh: weigh, wake: make(chan struct{}, 1)}
}

// put appends a batch, which is the feed's from then on.
func (f *feed) put(at time.Time, batch []byte) {
	if len(batch) == 0 {
		return
	}
	f.mu.Lock()
	fits := f.octets+cap(batch)+itemCost <= f.limit
	if fits {
		f.octets += cap(batch) + itemCost
		f.items = append(f.items, item{at: at, batch: batch})
	}
	f.mu.Unlock()
	if !fits {
		if n := f.weigh(batch); n > 0 {
			f.lose(at, inQueue, n)
		}
		return
	}
	f.ring()
}

// lose notes that n notifications are missing here (0: nobody knows how many).
// Losses that nothing was read between are one.
func (f *feed) lose(at time.Time, where place, n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.ring()
	for i := len(f.items) - 1; i >= 0 && f.items[i].lost != nowhere; i-- {
		if x := &f.items[i]; x.lost == where && (x.count == 0) == (n == 0) {
			x.count += n
			return
		}
	}
	f.items = append(f.items, item{at: at, lost: where, count: n})
}

// end says that nothing more will come.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.ring()
}

func (f *feed) ring() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// take gives the oldest item; ok is false when there is none now, and ended
// when there will be none.
func (f *feed) take() (x item, ok, ended bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.items) == 0 {
		f.items = nil // with its memory
		return item{}, false, f.ended
	}
	x, f.items[0] = f.items[0], item{}
	f.items = f.items[1:]
	if x.lost == nowhere {
		f.octets -= cap(x.batch) + itemCost
	}
	return x, true, false
}

// left counts the notifications that nobody has taken.
func (f *feed) left() (n uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.items {
		n += f.weigh(x.batch)
	}
	return n
}
