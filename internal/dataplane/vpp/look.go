package vpp

import (
	"context"
	"errors"
	"fmt"

	"netbraid/internal/dataplane"
)

// Look says what a VPP has, and changes nothing in it. Of o it needs the Socket.
func Look(ctx context.Context, o Options) (dataplane.Seen, error) {
	events, end := make(chan dataplane.Event), make(chan struct{})
	o.looks = true
	o.Deliver = func(e dataplane.Event) {
		select {
		case events <- e:
		case <-end:
		}
	}
	c := New(o)
	c.Connect(1)
	defer func() {
		close(end)
		c.Close()
		<-c.done
	}()
	var seen dataplane.Seen
	for {
		var ev dataplane.Event
		select {
		case ev = <-events:
		case <-ctx.Done():
			return dataplane.Seen{}, fmt.Errorf("VPP at %s has not answered in time: %w", c.opt.Socket, ctx.Err())
		}
		switch ev := ev.(type) {
		case dataplane.Up:
			seen.Version = ev.Caps.Version
			c.Dump(1, dataplane.KindInterface)
		case dataplane.Down:
			return dataplane.Seen{}, ev.Err
		case dataplane.Dumped:
			seen.Interfaces = append(seen.Interfaces, ev.Interfaces...)
			seen.Pairs = append(seen.Pairs, ev.Pairs...)
		case dataplane.DumpDone:
			switch {
			case ev.Err != nil && !errors.Is(ev.Err, dataplane.ErrUnsupported):
				return dataplane.Seen{}, ev.Err
			case ev.Kind == dataplane.KindPair:
				return seen, nil
			}
			c.Dump(1, dataplane.KindPair)
		}
	}
}
