package ubus

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// 100,000 malformed messages, as root and as nobody, from clients that read
// and from clients that do not: the broker lives, keeps nothing of them, and
// those who behave notice nothing. UBUS_MALFORMED sets another number.
func TestMalformedFlood(t *testing.T) {
	count := 100_000
	if n, err := strconv.Atoi(os.Getenv("UBUS_MALFORMED")); err == nil {
		count = n
	}
	var strangers atomic.Int32
	b, path := startBroker(t, BrokerOptions{creds: func(c *net.UnixConn) (credentials, error) {
		cred, err := peerCredentials(c)
		if n := strangers.Add(1); n > 0 && n%3 == 0 && err == nil {
			cred.uid, cred.gid, cred.user, cred.group = 65534, 65534, "nobody", "nogroup"
		}
		return cred, err
	}})
	strangers.Store(-1000) // the first come as they are
	seeds := malformedSeeds(t)
	good := newWellBehaved(t, b, path)
	good.rounds(t, 100)
	flood(t, path, seeds, count/10) // buffers grow to their size
	good.settle(t)
	before := measure()
	strangers.Store(0)
	conns := flood(t, path, seeds, count)
	good.settle(t)
	strangers.Store(-1000)
	after := measure()
	for range 100 { // goroutines end a little later than their client
		if !after.grownSince(before) {
			break
		}
		time.Sleep(20 * time.Millisecond)
		after = measure()
	}
	rounds, slowest := good.stop(t)
	t.Logf("%d messages on %d connections; %d rounds beside them, the slowest took %v; before %v, after %v",
		count, conns, rounds, slowest, before, after)
	if slowest > 2*time.Second || rounds < 200 {
		t.Error("the others noticed")
	}
	if after.grownSince(before) {
		t.Errorf("something grew: before %v, after %v", before, after)
	}
}

// malformedSeeds returns what recorded clients sent, and messages of kinds that
// were not recorded.
func malformedSeeds(t *testing.T) (seeds [][]byte) {
	for _, name := range recordingNames(t) {
		for _, m := range loadRecording(t, name).msgs {
			if m.Dir == "c2s" && len(m.raw) >= HeaderLen && len(m.raw) < 4096 {
				seeds = append(seeds, m.raw)
			}
		}
	}
	if len(seeds) < 500 {
		t.Fatal(len(seeds), "seeds")
	}
	for _, depth := range []int{10, 1000, 10_000} { // containers in containers
		var data []byte
		for range depth {
			b, mark := OpenTable(nil, "t")
			data = CloseContainer(append(b, data...), mark)
			if len(data) > 1<<15 {
				break
			}
		}
		for _, attr := range []uint8{AttrData, AttrSignature} {
			seeds = append(seeds, buildMessage(nil, MsgInvoke, 1, 1, func(b []byte) []byte {
				b = AppendAttrUint32(b, AttrObjID, eventObject)
				return AppendAttr(AppendAttrString(b, AttrMethod, "send"), attr, data)
			}))
		}
	}
	return seeds
}

// mutate damages a message in one of several ways. The length of the top blob
// is right afterwards: the broker takes the whole.
func mutate(b []byte, r *rand.Rand) []byte {
	b = slices.Clone(b)
	for range 1 + r.IntN(3) {
		i := r.IntN(len(b))
		word := HeaderLen + r.IntN((len(b)-HeaderLen)/4+1)*4 // the head of an attribute, perhaps
		switch r.IntN(9) {
		case 0:
			b[i] ^= 1 << r.IntN(8)
		case 1:
			b[i] = byte(r.Uint32())
		case 2:
			b[1] = byte(r.IntN(13))
		case 3: // truncated, also in the middle of a word
			b = b[:max(HeaderLen, i)]
		case 4: // another length
			if word+4 <= len(b) {
				w := binary.BigEndian.Uint32(b[word:])
				binary.BigEndian.PutUint32(b[word:], w&^attrLenMask|r.Uint32()&attrLenMask>>r.IntN(24))
			}
		case 5: // another type, extended or not
			if word < len(b) {
				b[word] = byte(r.IntN(16)) | byte(r.IntN(2))<<7
			}
		case 6: // a part once more, inside itself
			j := i + r.IntN(len(b)-i)
			b = slices.Concat(b[:j], b[i:j], b[j:])
		case 7: // noise behind
			b = append(b, make([]byte, 4*r.IntN(16))...)
			for k := i; k < len(b); k++ {
				b[k] = byte(r.Uint32())
			}
		case 8: // an id that may exist
			if word+8 <= len(b) {
				binary.BigEndian.PutUint32(b[word+4:], uint32(r.IntN(5)))
			}
		}
		b = b[:min(len(b), 1<<16)]
	}
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-8))
	return b
}

// flood sends count malformed messages and returns on how many connections.
// Every connection but those that do not read ends with a PING, whose answer
// shows that all before it was taken; then comes what ends a connection.
func flood(t *testing.T, path string, seeds [][]byte, count int) (conns int) {
	r := rand.New(rand.NewPCG(1, 2))
	for sent := 0; sent < count && !t.Failed(); conns++ {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		n := min(1+r.IntN(400), count-sent)
		deaf := conns%8 == 7
		var all []byte
		for range n {
			all = append(all, mutate(seeds[r.IntN(len(seeds))], r)...)
		}
		all = append(all, buildMessage(nil, MsgPing, 0x4711, 0x4712, nil)...)
		switch {
		case deaf: // the broker ends it when it likes
			conn.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			conn.Write(all)
		default:
			floodOne(t, conn, all, r)
		}
		conn.Close()
		sent += n
	}
	return conns
}

// floodOne sends all, sees the answer to the PING at its end, and then makes
// the broker close the connection, or closes it.
func floodOne(t *testing.T, conn *net.UnixConn, all []byte, r *rand.Rand) {
	written := make(chan struct{})
	go func() {
		defer close(written)
		if _, err := conn.Write(all); err != nil {
			t.Error(err)
		}
	}()
	defer func() { conn.Close(); <-written }()
	in := newMsgReader(conn, maxForwarded)
	defer in.close()
	for {
		h, _, fd, err := in.next()
		closeFile(fd)
		if err != nil {
			t.Errorf("the broker does not answer any more: %v", err)
			return
		}
		if h.Type == MsgStatus && h.Seq == 0x4711 && h.Peer == 0x4712 {
			break
		}
	}
	<-written
	end := buildMessage(nil, MsgPing, 1, 0, func(b []byte) []byte { return append(b, 1, 2, 3, 4) })
	switch r.IntN(4) {
	case 0: // too short
		binary.BigEndian.PutUint32(end[8:], uint32(r.IntN(4)))
	case 1: // too long
		binary.BigEndian.PutUint32(end[8:], uint32(MaxMessage+1+r.IntN(attrLenMask-MaxMessage-1)))
	case 2: // incomplete
		conn.Write(end[:r.IntN(len(end))])
		return
	case 3:
		return
	}
	conn.Write(end)
	for {
		_, _, fd, err := in.next()
		closeFile(fd)
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %x: %v", end, err)
		}
		return
	}
}

// wellBehaved is a caller, a server, a subscriber and a listener, who check
// that every answer, notification and event is theirs and comes.
type wellBehaved struct {
	b       *Broker
	clients []*Client
	quit    chan struct{}
	done    sync.WaitGroup
	count   atomic.Int64
	slowest atomic.Int64
}

func newWellBehaved(t *testing.T, b *Broker, path string) *wellBehaved {
	t.Helper()
	ctx := testCtx(t)
	g := &wellBehaved{b: b, quit: make(chan struct{})}
	if err := b.AddObject("good.local", echoMethods, echo); err != nil {
		t.Fatal(err)
	}
	srv, caller, hearer := dial(t, path), dial(t, path), dial(t, path)
	g.clients = []*Client{srv, caller, hearer}
	obj, err := srv.AddObject(ctx, "good.remote", echoMethods, echo, nil)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 16)
	ear, err := hearer.Listen(ctx, func(name string, data Table) { heard <- name + data.JSON() }, "good.event")
	if err != nil {
		t.Fatal(err)
	}
	var ids []uint32
	for _, p := range []string{"good.local", "good.remote"} {
		id, err := caller.LookupID(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if err := ear.Subscribe(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	g.done.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-g.quit:
				return
			default:
			}
			start := time.Now()
			if err := g.round(i, ids, obj, caller, heard); err != nil {
				t.Error("round", i, err)
				return
			}
			g.slowest.Store(max(g.slowest.Load(), int64(time.Since(start))))
			g.count.Add(1)
		}
	})
	return g
}

// round calls both servers, and sends an event and two notifications.
func (g *wellBehaved) round(i int, ids []uint32, obj *Object, caller *Client, heard chan string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args := Table{{"s", fmt.Sprint("round ", i)}, {"i", int32(i)}}
	for _, id := range ids {
		got, err := caller.CallID(ctx, id, "echo", args)
		if err != nil || len(got) != 1 || !bytes.Equal(got[0].Encode(), args.Encode()) {
			return fmt.Errorf("call: %v %w", got, err)
		}
	}
	if err := errors.Join(caller.Send(ctx, "good.event", args), g.b.Notify("good.local", "local", args)); err != nil {
		return err
	}
	if res, err := obj.NotifyWait(ctx, "remote", args); err != nil || len(res) != 1 || res[0].Status != StatusOK {
		return fmt.Errorf("notify: %v %w", res, err)
	}
	for _, want := range []string{"good.event", "local", "remote"} {
		select {
		case got := <-heard:
			if got != want+args.JSON() {
				return fmt.Errorf("heard %s, want %s", got, want)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", want, ctx.Err())
		}
	}
	return nil
}

// rounds waits for n more rounds.
func (g *wellBehaved) rounds(t *testing.T, n int64) {
	t.Helper()
	until := g.count.Load() + n
	eventually(t, func() bool { return g.count.Load() >= until || t.Failed() })
}

// settle waits until the broker has only the well-behaved.
func (g *wellBehaved) settle(t *testing.T) {
	t.Helper()
	g.rounds(t, 20)
	eventually(t, func() bool {
		g.b.mu.Lock()
		defer g.b.mu.Unlock()
		return len(g.b.clients) == 1+len(g.clients) && len(g.b.objects) == 3 &&
			len(g.b.patterns) == 1 && len(g.b.types) == 2 && len(g.b.sorted) == 2 && len(g.b.byPath) == 2 && len(g.b.monitors) == 0
	})
}

func (g *wellBehaved) stop(t *testing.T) (rounds int64, slowest time.Duration) {
	t.Helper()
	close(g.quit)
	g.done.Wait()
	return g.count.Load(), time.Duration(g.slowest.Load())
}

// usage is what must not grow.
type usage struct {
	goroutines, files int
	heap              int64 // bytes
}

func (u usage) grownSince(before usage) bool {
	return u.goroutines > before.goroutines || u.files > before.files || u.heap > before.heap+1<<20
}

func measure() usage {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	files, _ := os.ReadDir("/proc/self/fd")
	return usage{runtime.NumGoroutine(), len(files), int64(m.HeapAlloc)}
}
