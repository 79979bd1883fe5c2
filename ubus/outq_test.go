package ubus

import (
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A client that reads may ask for more at once than the queue of one that does
// not read holds.
func TestPipelinedAnswers(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{MaxQueue: 1 << 20})
	b.AddObject("local", echoMethods, echo)
	ctx := testCtx(t)
	c := dial(t, path)
	id, err := c.LookupID(ctx, "local")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := c.CallID(ctx, id, "big", Table{{"n", 150_000}})
			if err != nil || len(got) != 1 {
				t.Error(len(got), err)
			}
		})
	}
	wg.Wait()
}

// One that has not read for a while is dropped at the lower limit.
func TestStalledReader(t *testing.T) {
	here, there := socketPair(t)
	q := newOutQueue(1000)
	done := make(chan error, 1)
	go func() { done <- q.run(here) }()
	defer func() { q.close(); here.Close(); <-done }()
	fill := func(b []byte) []byte { return append(b, make([]byte, 900)...) }
	here.SetWriteBuffer(4096)
	for n := 0; ; n++ { // until the kernel takes no more
		if !q.add(nil, fill) {
			t.Fatal("dropped at once, after", n)
		}
		time.Sleep(time.Millisecond)
		q.mu.Lock()
		queued := q.bytes
		q.mu.Unlock()
		if queued > 2000 {
			break
		}
	}
	time.Sleep(patience + 50*time.Millisecond)
	if q.add(nil, fill) || !q.overflowed() {
		t.Error("not dropped")
	}
	there.Close()
}

// socketPair returns two connected sockets.
func socketPair(t *testing.T) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		conns[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return conns[0], conns[1]
}
