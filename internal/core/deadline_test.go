package core_test

import (
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
)

// TestNoTickInThePast: while a table cannot be read nothing can settle, and no
// time that has passed is asked for again and again.
func TestNoTickInThePast(t *testing.T) {
	now := time.Unix(1000, 0)
	c := core.New(core.Options{})
	c.Step(now, core.Tick{})
	c.Step(now, core.Configured{Config: &config.Config{}})
	for range 5 {
		if at := c.Deadline(); !at.IsZero() {
			now = at
		}
		c.Step(now, core.Tick{})
	}
	n := 0
	for end := now.Add(time.Second); now.Before(end) && n < 1000; n++ {
		at := c.Deadline()
		if at.IsZero() {
			break
		}
		if at.After(now) {
			now = at
		}
		c.Step(now, core.Tick{})
	}
	if n > 100 {
		t.Fatalf("%d ticks in a second in which nothing can be done", n)
	}
}
