package kernel

import (
	"testing"
	"time"
)

// TestStorm: who reads rests in a storm when the queue is empty, and only then.
func TestStorm(t *testing.T) {
	at := time.Unix(1000, 0)
	var s storm
	rests := func(n int, each time.Duration, count int) (rests int) {
		for range count {
			at = at.Add(each)
			if s.hears(n, at) {
				rests++
			}
		}
		return rests
	}
	if n := rests(5, time.Millisecond, 1000); n != 0 { // 5,000 a second
		t.Errorf("%d rests without a storm", n)
	}
	if n := rests(20, 200*time.Microsecond, 1000); n < 900 { // 100,000 a second
		t.Errorf("%d rests of 1000 in a storm", n)
	}
	if n := rests(64, 200*time.Microsecond, 1000); n != 0 {
		t.Errorf("%d rests with more to read", n)
	}
	at = at.Add(time.Second)
	if n := rests(1, time.Millisecond, 100); n != 0 {
		t.Errorf("%d rests long after the storm", n)
	}
}
