package router

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// stream sends numbered packets from one host to another, a thousand a second,
// and counts those that arrive.
type stream struct {
	t    testing.TB
	from net.Conn
	to   net.PacketConn
	stop chan struct{}
	wg   sync.WaitGroup

	mu   sync.Mutex
	sent uint64
	got  map[uint64]bool
}

// newStream begins; it ends with the test.
func newStream(t testing.TB, from, to *nstest.NS, addr string) *stream {
	t.Helper()
	s := &stream{t: t, stop: make(chan struct{}), got: map[uint64]bool{}}
	var err error
	if e := to.Do(func() error { s.to, err = net.ListenPacket("udp", addr); return err }); e != nil {
		t.Fatal(e)
	}
	if e := from.Do(func() error { s.from, err = net.Dial("udp", addr); return err }); e != nil {
		t.Fatal(e)
	}
	s.wg.Go(s.receive)
	s.wg.Go(s.send)
	t.Cleanup(func() { s.end() })
	return s
}

func (s *stream) send() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	b := make([]byte, 64)
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		s.sent++
		n := s.sent
		s.mu.Unlock()
		binary.BigEndian.PutUint64(b, n)
		_, _ = s.from.Write(b) // what does not leave counts as lost
	}
}

func (s *stream) receive() {
	b := make([]byte, 2048)
	for {
		n, _, err := s.to.ReadFrom(b)
		if err != nil {
			return
		}
		if n >= 8 {
			s.mu.Lock()
			s.got[binary.BigEndian.Uint64(b)] = true
			s.mu.Unlock()
		}
	}
}

// end stops the stream and gives how many were sent, and how many of them were
// lost. Only its first call says anything.
func (s *stream) end() (sent, lost uint64) {
	select {
	case <-s.stop:
		return 0, 0
	default:
	}
	close(s.stop)
	time.Sleep(200 * time.Millisecond) // what is on its way arrives
	s.to.Close()
	s.wg.Wait()
	s.from.Close()
	return s.sent, s.sent - uint64(len(s.got))
}
