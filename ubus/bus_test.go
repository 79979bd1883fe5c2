package ubus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func testCtx(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// startBroker serves a broker in a directory that everybody may enter.
func startBroker(t testing.TB, opt BrokerOptions) (*Broker, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ubus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	path := filepath.Join(dir, "s")
	if opt.ACLDir == "" {
		opt.ACLDir = dir
	}
	if opt.Log == nil {
		opt.Log = quiet()
	}
	l, c, err := ListenOrDial(testCtx(t), path)
	if err != nil || c != nil {
		t.Fatal(c, err)
	}
	b := NewBroker(opt)
	done := make(chan error, 1)
	go func() { done <- b.Serve(l) }()
	t.Cleanup(func() {
		b.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return b, path
}

func dial(t testing.TB, path string) *Client {
	t.Helper()
	c, err := Dial(testCtx(t), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var echoMethods = []Method{
	{Name: "echo", Args: []Arg{{"s", TypeString}, {"i", TypeInt32}}},
	{Name: "fail"}, {Name: "later"}, {Name: "never"}, {Name: "big"}, {Name: "who"}, {Name: "fd"},
}

// echo serves echoMethods.
func echo(r *Request) {
	args := r.Args()
	switch r.Method {
	case "echo":
		r.ReplyRaw(r.RawArgs())
		r.Done(StatusOK)
	case "fail":
		s, _ := args.Int32("s")
		r.Done(Status(s))
	case "later":
		time.AfterFunc(20*time.Millisecond, func() {
			r.Reply(Table{{"n", 1}})
			r.Reply(Table{{"n", 2}})
			r.Done(StatusOK)
		})
	case "big":
		n, _ := args.Int("n")
		r.Reply(Table{{"s", string(make([]byte, n))}})
		r.Done(StatusOK)
	case "who":
		r.Reply(Table{{"user", r.User}, {"group", r.Group}, {"caller", r.Caller}, {"object", r.Object}})
		r.Done(StatusOK)
	case "fd":
		f := r.TakeFD()
		if f == nil {
			r.Done(StatusInvalidArgument)
			return
		}
		defer f.Close()
		text, _ := io.ReadAll(f)
		r.Reply(Table{{"text", string(text)}})
		pr, pw, err := os.Pipe()
		if err != nil {
			r.Done(StatusSystemError)
			return
		}
		pw.WriteString("back")
		pw.Close()
		r.DoneFD(StatusOK, pr)
	}
}

// Objects in the broker's process and objects of a client look the same.
func TestCalls(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	if err := b.AddObject("local", echoMethods, echo); err != nil {
		t.Fatal(err)
	}
	if err := b.AddObject("local", nil, echo); !errors.Is(err, StatusInvalidArgument) {
		t.Error("same path twice:", err)
	}
	srv := dial(t, path)
	if _, err := srv.AddObject(ctx, "remote", echoMethods, echo, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := srv.AddObject(ctx, "remote", echoMethods, echo, nil); !errors.Is(err, StatusInvalidArgument) {
		t.Error("same path twice:", err)
	}
	c := dial(t, path)
	for _, obj := range []string{"local", "remote"} {
		t.Run(obj, func(t *testing.T) {
			info, err := c.Lookup(ctx, obj)
			if err != nil || len(info) != 1 || fmt.Sprint(info[0].Methods) != fmt.Sprint(echoMethods) {
				t.Fatal(info, err)
			}
			got, err := c.Call(ctx, obj, "echo", Table{{"s", "x"}, {"i", 5}})
			if err != nil || len(got) != 1 || got[0].JSON() != `{"s":"x","i":5}` {
				t.Error(got, err)
			}
			got, err = c.Call(ctx, obj, "later", nil)
			if err != nil || len(got) != 2 {
				t.Error(got, err)
			}
			for s := Status(0); s < 15; s++ {
				if _, err := c.Call(ctx, obj, "fail", Table{{"s", int32(s)}}); StatusOf(err) != s {
					t.Errorf("status %d came as %v", int(s), err)
				}
			}
			if _, err := c.Call(ctx, obj, "nosuch", nil); StatusOf(err) != StatusMethodNotFound {
				t.Error(err)
			}
			got, err = c.Call(ctx, obj, "who", nil)
			want := fmt.Sprintf(`{"user":"root","group":"root","caller":%d,"object":"%s"}`, int32(c.ID()), obj)
			if err != nil || got[0].JSON() != want {
				t.Error(got, err, want)
			}
			short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
			defer cancel()
			if _, err := c.Call(short, obj, "never", nil); StatusOf(err) != StatusTimeout {
				t.Error(err)
			}
			testFD(t, c, info[0].ID)
			got, err = c.Call(ctx, obj, "big", Table{{"n", 1_000_000}})
			if err != nil || len(got) != 1 {
				t.Error("1 MB reply:", len(got), err)
			}
			// A reply over the limit is lost, and the caller hears of it. The server stays.
			got, err = c.Call(ctx, obj, "big", Table{{"n", 1_100_000}})
			if StatusOf(err) != StatusUnknownError || len(got) != 0 {
				t.Error("oversized reply:", len(got), err)
			}
			if _, err = c.Call(ctx, obj, "echo", Table{{"s", string(make([]byte, MaxMessage))}}); StatusOf(err) != StatusInvalidArgument {
				t.Error("oversized request:", err)
			}
		})
	}
	if _, err := c.Call(ctx, "nosuch", "x", nil); StatusOf(err) != StatusNotFound {
		t.Error(err)
	}
	if all, err := c.Lookup(ctx, "*"); err != nil || len(all) != 2 || all[0].Path != "local" {
		t.Error(all, err)
	}
	if err := b.RemoveObject("local"); err != nil {
		t.Error(err)
	}
	if found, err := c.Lookup(ctx, "loc*"); StatusOf(err) != StatusNotFound || len(found) != 0 {
		t.Error(found, err)
	}
}

func testFD(t *testing.T, c *Client, id uint32) {
	pr, pw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	pw.WriteString("there")
	pw.Close()
	replies, back, err := c.Invoke(testCtx(t), id, "fd", nil, pr)
	if err != nil || len(replies) != 1 || DecodeTable(replies[0]).JSON() != `{"text":"there"}` || back == nil {
		t.Fatal(replies, back, err)
	}
	defer back.Close()
	if text, err := io.ReadAll(back); string(text) != "back" || err != nil {
		t.Errorf("%q %v", text, err)
	}
	if _, _, err := c.Invoke(testCtx(t), id, "fd", nil, nil); StatusOf(err) != StatusInvalidArgument {
		t.Error("without descriptor:", err)
	}
}

// collector gathers what a callback gets.
type collector struct {
	mu  sync.Mutex
	got []string
}

func (c *collector) add(name string, data Table) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, name+" "+data.JSON())
}

func (c *collector) wait(t *testing.T, want ...string) {
	t.Helper()
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.got) >= len(want)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.got, want) {
		t.Errorf("got %q, want %q", c.got, want)
	}
}

func eventually(t testing.TB, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("did not happen within 10 s")
		}
	}
}

func TestEvents(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	var all, some collector
	l := dial(t, path)
	if _, err := l.Listen(ctx, all.add, "*", "a.*"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Listen(ctx, some.add, "a.*", "b"); err != nil {
		t.Fatal(err)
	}
	s := dial(t, path)
	for _, name := range []string{"a.b", "b", "bb", ""} {
		if err := s.Send(ctx, name, Table{{"x", 1}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Send(ctx, "ubus.x", nil); StatusOf(err) != StatusPermissionDenied {
		t.Error(err)
	}
	l.Send(ctx, "a.own", nil) // not to its sender
	b.Event("a.local", nil)
	b.ReloadACL()
	all.wait(t, `a.b {"x":1}`, `b {"x":1}`, `bb {"x":1}`, ` {"x":1}`, "a.local {}", `ubus.acl.sequence {"sequence":1}`)
	some.wait(t, `a.b {"x":1}`, `b {"x":1}`, "a.local {}")
}

func TestSubscribe(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	srv := dial(t, path)
	active := make(chan bool, 4)
	obj, err := srv.AddObject(ctx, "obj", echoMethods, echo, func(on bool) { active <- on })
	if err != nil {
		t.Fatal(err)
	}
	b.AddObject("local", echoMethods, echo)
	if res, err := obj.NotifyWait(ctx, "n", nil); err != nil || len(res) != 0 {
		t.Error(res, err)
	}
	var got collector
	lost := make(chan uint32, 2)
	var subs []*Object
	for range 2 {
		c := dial(t, path)
		sub, err := c.Subscriber(ctx, got.add, func(id uint32) { lost <- id })
		if err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"obj", "local"} {
			id, err := c.LookupID(ctx, target)
			if err != nil {
				t.Fatal(err)
			}
			if err := sub.Subscribe(ctx, id); err != nil {
				t.Fatal(err)
			}
		}
		subs = append(subs, sub)
	}
	if on := <-active; !on || !b.HasSubscribers("local") {
		t.Error("not active")
	}
	res, err := obj.NotifyWait(ctx, "n", Table{{"x", true}})
	if err != nil || len(res) != 2 || res[0].Status != StatusOK {
		t.Error(res, err)
	}
	got.wait(t, `n {"x":true}`, `n {"x":true}`)
	if err := b.Notify("local", "m", nil); err != nil {
		t.Error(err)
	}
	got.wait(t, `n {"x":true}`, `n {"x":true}`, "m {}", "m {}")
	subs[0].c.Close()
	if err := subs[1].Unsubscribe(ctx, obj.ID()); err != nil {
		t.Error(err)
	}
	if on := <-active; on {
		t.Error("still active")
	}
	if err := subs[1].Unsubscribe(ctx, obj.ID()); StatusOf(err) != StatusNotFound {
		t.Error(err)
	}
	b.RemoveObject("local")
	<-lost
	if err := b.Notify("local", "m", nil); StatusOf(err) != StatusNotFound {
		t.Error(err)
	}
}

func TestMonitor(t *testing.T) {
	_, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	m := dial(t, path)
	var got atomic.Int32
	if err := m.Monitor(ctx, func(x MonitorMessage) {
		if x.Type == MsgPing && !x.Sent || x.Type == MsgData && x.Sent {
			got.Add(1)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := dial(t, path).Ping(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return got.Load() == 2 })
	if err := m.MonitorStop(ctx); err != nil {
		t.Fatal(err)
	}
}

// A client that does not read is dropped, with one log line; others notice nothing.
func TestSlowReader(t *testing.T) {
	var logged countingHandler
	b, path := startBroker(t, BrokerOptions{Log: slog.New(&logged), MaxQueue: 1 << 20})
	b.AddObject("local", echoMethods, echo)
	ctx := testCtx(t)
	slow, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	other := dial(t, path)
	id, _ := other.LookupID(ctx, "local")
	req := buildMessage(nil, MsgInvoke, 1, id, func(b []byte) []byte {
		b = AppendAttrString(AppendAttrUint32(b, AttrObjID, id), AttrMethod, "big")
		return AppendAttr(b, AttrData, Table{{"n", 400_000}}.Encode())
	})
	for range 20 {
		if _, err := slow.Write(req); err != nil {
			break // dropped already
		}
	}
	for range 100 {
		start := time.Now()
		if _, err := other.CallID(ctx, id, "echo", nil); err != nil || time.Since(start) > time.Second {
			t.Fatal(err, time.Since(start))
		}
	}
	eventually(t, func() bool { return logged.n.Load() > 0 })
	slow.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, slow); err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("not disconnected:", err)
	}
	if n := logged.n.Load(); n != 1 {
		t.Errorf("%d log lines", n)
	}
}

type countingHandler struct{ n atomic.Int32 }

func (h *countingHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (h *countingHandler) Handle(context.Context, slog.Record) error    { h.n.Add(1); return nil }
func (h *countingHandler) WithAttrs([]slog.Attr) slog.Handler           { return h }
func (h *countingHandler) WithGroup(string) slog.Handler                { return h }

// A list far beyond the queue limit reaches a client that reads.
func TestHugeList(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{MaxQueue: 64 << 10})
	for i := range 3000 {
		if err := b.AddObject(fmt.Sprintf("o%04d", i), echoMethods, echo); err != nil {
			t.Fatal(err)
		}
	}
	found, err := dial(t, path).LookupAll(testCtx(t))
	if err != nil || len(found) != 3000 || found[2999].Path != "o2999" {
		t.Fatal(len(found), err)
	}
}

func TestLimits(t *testing.T) {
	_, path := startBroker(t, BrokerOptions{MaxObjects: 2})
	ctx := testCtx(t)
	c := dial(t, path)
	for i := range 3 {
		_, err := c.Subscriber(ctx, nil, nil)
		if want := i == 2; want != (StatusOf(err) == StatusNoMemory) {
			t.Error(i, err)
		}
	}
}
