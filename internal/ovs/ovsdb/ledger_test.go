package ovsdb

import (
	"strings"
	"testing"
	"time"
)

func TestLedger(t *testing.T) {
	l := ledger{}
	start := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	k := key{"br0", "p0"}
	at := func(d time.Duration) time.Time { return start.Add(d) }
	check := func(d time.Duration, held bool, problem string) {
		t.Helper()
		if got := l.held(k, at(d)); got != held {
			t.Errorf("after %v: held %v", d, got)
		}
		if got := l.problem(k, at(d)); !strings.HasPrefix(got, problem) || got != "" && problem == "" {
			t.Errorf("after %v: problem %q, want %q", d, got, problem)
		}
	}
	check(0, false, "")
	l.expect(k)
	check(0, false, "")
	if l.deadline(at(0)); len(l) != 1 {
		t.Error("what is expected is forgotten")
	}
	l.note(k, at(-9*time.Second), "")
	check(-9*time.Second, false, "") // the first repair is at once, however soon after it was made
	l.note(k, at(0), "")
	check(0, false, "") // and the next too
	l.note(k, at(time.Second), "")
	check(1900*time.Millisecond, true, "FOUGHT")
	check(2*time.Second, false, "")
	// Whoever insists is answered less and less often, once a minute at least.
	now, writes := 2*time.Second, 0
	for ; now < 10*time.Minute; now += 100 * time.Millisecond {
		if !l.held(k, at(now)) {
			l.note(k, at(now), "")
			writes++
		}
	}
	if writes < 13 || writes > 16 {
		t.Errorf("%d writes in ten minutes", writes)
	}
	if d := l.deadline(at(now)); d.IsZero() || d.After(at(now+maxDelay)) {
		t.Errorf("deadline %v", d)
	}
	// Left alone for long enough, it is nobody's quarrel any more.
	if d := l.deadline(at(now + 3*maxDelay)); !d.IsZero() || len(l) != 0 {
		t.Errorf("deadline %v, %d entries", d, len(l))
	}
	l.note(k, at(0), "no such thing")
	check(time.Millisecond, true, "no such thing")
	l.note(k, at(time.Second), "") // taken after all
	check(time.Second, false, "")
	l.forget(key{sw: "br0"})
	check(time.Millisecond, false, "")
}
