package ubus

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hostile connects a client to a broker that greets it, sends what it is told,
// and hangs up. The client serves an object of id 0x10000 meanwhile.
func hostile(t testing.TB, data []byte) *Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "ubus")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan struct{})
	registered := make(chan struct{})
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		conn.Write(buildMessage(nil, MsgHello, 0, 4711, nil))
		<-registered
		conn.SetDeadline(time.Now().Add(2 * time.Second))
		conn.Write(data)
		conn.(*net.UnixConn).CloseWrite()
		for buf := make([]byte, 4096); ; {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
	c, err := Dial(context.Background(), filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	c.register(0x10000, &clientObject{methods: echoMethods, handler: func(r *Request) {
		if r.Method == "echo" {
			echo(r)
		}
	}})
	c.register(0x10001, &clientObject{event: func(string, Table) {}, lost: func(uint32) {}, active: func(bool) {}})
	c.mu.Lock()
	c.onMonitor = func(MonitorMessage) {}
	c.mu.Unlock()
	close(registered)
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("client hangs")
	}
	c.Close()
	<-served
	return c
}

func TestClientLosesBroker(t *testing.T) {
	c := hostile(t, nil)
	if !errors.Is(c.Err(), ErrClosed) {
		t.Error(c.Err())
	}
	if _, err := c.Call(context.Background(), "x", "y", nil); StatusOf(err) != StatusConnectionFailed {
		t.Error(err)
	}
}

// A call that waits when the broker dies ends at once.
func TestCallFailsWithBroker(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	b.AddObject("local", echoMethods, echo)
	c := dial(t, path)
	time.AfterFunc(20*time.Millisecond, func() { b.Close() })
	if _, err := c.Call(testCtx(t), "local", "never", nil); StatusOf(err) != StatusConnectionFailed {
		t.Error(err)
	}
}

func TestDialTimesOut(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancel()
	if c, err := Dial(ctx, l.Addr().String()); StatusOf(err) != StatusTimeout {
		t.Error(c, err)
	}
}

func FuzzClient(f *testing.F) {
	for _, name := range []string{"32-notify-reply", "35-monitor"} {
		for _, m := range loadRecording(f, name).msgs {
			if m.Dir == "s2c" {
				f.Add(m.raw)
			}
		}
	}
	f.Add(buildMessage(nil, MsgInvoke, 1, 5, func(b []byte) []byte {
		b = AppendAttrString(AppendAttrUint32(b, AttrObjID, 0x10000), AttrMethod, "echo")
		return AppendAttr(b, AttrData, Table{{"s", "x"}}.Encode())
	}))
	f.Fuzz(func(t *testing.T, b []byte) { hostile(t, b) })
}
