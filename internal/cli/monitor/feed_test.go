package monitor

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// weighed is a batch of n notifications, for tests of the queue.
func weighed(n int) []byte { return make([]byte, n) }

func show(x item) string {
	return fmt.Sprintf("%d/%d/%d", len(x.batch), x.lost, x.count)
}

// TestFeed: what does not fit is counted in its place, losses without anything
// between them are one, and what was taken makes room.
func TestFeed(t *testing.T) {
	f := newFeed(2*itemCost+20, func(b []byte) uint64 { return uint64(len(b)) })
	now := time.Now()
	f.put(now, nil) // nothing is no item
	f.put(now, weighed(10))
	f.put(now, weighed(10))
	f.put(now, weighed(3))
	f.put(now, weighed(4))
	f.lose(now, inKernel, 5)
	f.put(now, weighed(6))
	f.lose(now, inKernel, 7)
	f.lose(now, inKernel, 0)
	f.lose(now, inKernel, 0)
	if n := f.left(); n != 20 {
		t.Errorf("%d left, not 20", n)
	}
	var got []string
	x, _, _ := f.take()
	got = append(got, show(x))
	f.put(now, weighed(9))
	for {
		x, ok, ended := f.take()
		if ended {
			t.Fatal("ended too early")
		}
		if !ok {
			break
		}
		got = append(got, show(x))
	}
	if want := "10/0/0 10/0/0 0/2/13 0/1/12 0/1/0 9/0/0"; strings.Join(got, " ") != want {
		t.Errorf("%q, not %q", got, want)
	}
	if f.octets != 0 {
		t.Errorf("%d octets in an empty queue", f.octets)
	}
	f.end()
	if _, ok, ended := f.take(); ok || !ended {
		t.Error("the end is not seen")
	}
}

// TestFeedStaysSmall: a printer that has stopped costs no more, however much
// is read and lost.
func TestFeedStaysSmall(t *testing.T) {
	f := newFeed(10_000, func(b []byte) uint64 { return uint64(len(b)) })
	for range 100_000 {
		f.put(time.Now(), weighed(100))
		f.lose(time.Now(), inKernel, 1)
		f.lose(time.Now(), inKernel, 0)
	}
	if len(f.items) > 4*10_000/itemCost || f.octets > f.limit {
		t.Errorf("%d items with %d octets", len(f.items), f.octets)
	}
}
