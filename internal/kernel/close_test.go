package kernel

import (
	"log/slog"
	"testing"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/nstest"
)

// TestBufferDuringClose: the consumer may ask for the buffer while Close waits
// for it to take what is being delivered.
func TestBufferDuringClose(t *testing.T) {
	ns := nstest.New(t)
	events := make(chan core.Event)
	k, err := Open(Options{NSFD: ns.FD(), RcvBuf: 1 << 20, Log: slog.New(slog.DiscardHandler), Deliver: func(ev core.Event) { events <- ev }})
	if err != nil {
		t.Fatal(err)
	}
	k.Subscribe(1)
	if _, ok := (<-events).(core.Subscribed); !ok {
		t.Fatal("not subscribed")
	}
	ns.IP("link add va type veth peer name vb")
	time.Sleep(50 * time.Millisecond) // the reader waits for us
	closed := make(chan struct{})
	go func() { k.Close(); close(closed) }()
	time.Sleep(50 * time.Millisecond) // Close waits for the reader
	asked := make(chan struct{})
	go func() { k.Buffer(); close(asked) }()
	select {
	case <-asked:
	case <-time.After(5 * time.Second):
		t.Error("who asks for the buffer waits for Close, which waits for the consumer")
	}
	for {
		select {
		case <-events:
		case <-closed:
			return
		}
	}
}
