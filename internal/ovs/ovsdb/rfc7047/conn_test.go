package rfc7047

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// peer is the server's end of a connection.
type peer struct {
	t     *testing.T
	nc    net.Conn
	split Splitter
}

func newPair(t *testing.T, opt ConnOptions) (*Conn, *peer) {
	t.Helper()
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := Target{Addr: "unix:" + l.Addr().String()}
	client, err := target.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := NewConn(client, opt)
	t.Cleanup(func() { c.Close(); server.Close() })
	return c, &peer{t: t, nc: server}
}

// read gives the next message that the client sends; ok is false when it has
// hung up.
func (p *peer) read() (m Message, ok bool) {
	p.t.Helper()
	_ = p.nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		raw, err := p.split.Next()
		if err != nil {
			p.t.Fatal(err)
		}
		if raw != nil {
			return message(p.t, raw), true
		}
		buf := make([]byte, 1000)
		n, err := p.nc.Read(buf)
		if errors.Is(err, io.EOF) {
			return m, false
		} else if err != nil {
			p.t.Fatal(err)
		}
		p.split.Feed(buf[:n])
	}
}

func (p *peer) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, text); err != nil {
		p.t.Fatal(err)
	}
}

// TestReplies: answers come in any order, among notifications and questions of
// the server.
func TestReplies(t *testing.T) {
	var heard []string
	c, p := newPair(t, ConnOptions{Notify: func(m *Message) error { heard = append(heard, m.Method); return nil }})
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	then := func(raw json.RawMessage) error { heard = append(heard, "then "+string(raw)); return nil }
	replies, err := c.Start(ctx, Request{"first", []byte(`["x"]`), nil}, Request{"second", []byte("[]"), then}, Request{"third", []byte("[]"), nil})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"first", "second", "third"} {
		if m, _ := p.read(); m.Method != want || string(m.ID) != fmt.Sprint(i+1) {
			t.Errorf("read %s with id %s", m.Method, m.ID)
		}
	}
	short, cancelShort := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancelShort()
	if _, err := replies[0].Wait(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer yet: %v", err)
	}
	p.say(`{"id":3,"error":{"error":"refused","details":"so there"},"result":null}{"id":null,"method":"update2","params":[]}`)
	p.say(`{"id":2,"result":7,"error":null} {"id":null,"method":"update2","params":[]}{"id":["odd",{}],"method":"echo","params":["a",1]}{"id":1,"result":"late","error":null}`)
	if raw, err := replies[1].Wait(ctx); string(raw) != "7" || err != nil {
		t.Errorf("second: %s, %v", raw, err)
	}
	var refused *RPCError
	if _, err := replies[2].Wait(ctx); !errors.As(err, &refused) || err.Error() != "ovsdb-server: third: refused: so there" {
		t.Errorf("third: %v", err)
	}
	if m, _ := p.read(); string(m.ID) != `["odd",{}]` || string(m.Result) != `["a",1]` {
		t.Errorf("the echo was answered with %s %s", m.ID, m.Result)
	}
	c.Close()
	if got := strings.Join(heard, ", "); got != "update2, then 7, update2" {
		t.Errorf("heard %s", got)
	}
	if _, err := c.Call(ctx, "x", []byte("[]")); !errors.Is(err, ErrClosed) {
		t.Errorf("call after the end: %v", err)
	}
}

// TestProbe: silence is asked about; any octet is life, none is the end.
func TestProbe(t *testing.T) {
	t.Parallel()
	c, p := newPair(t, ConnOptions{Probe: 500 * time.Millisecond}) // long enough for a busy machine
	for i := range 3 {
		if m, ok := p.read(); !ok || m.Method != "echo" {
			t.Fatalf("probe %d: %v %s", i, ok, m.Method)
		}
		p.say(" ") // not an answer, but life
	}
	if m, ok := p.read(); !ok || m.Method != "echo" {
		t.Fatalf("%v %s", ok, m.Method)
	}
	select {
	case <-c.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection lives on without the peer")
	}
	if err := c.Err(); !strings.Contains(err.Error(), "silent for 1s") {
		t.Error(err)
	}
}

// TestConnEnds: what ends a connection, and what is said of it.
func TestConnEnds(t *testing.T) {
	for _, c := range []struct{ name, say, want string }{
		{"garbage", "hello", "a message begins with 'h'"},
		{"too long", `{"a":"` + strings.Repeat("x", 5000), "longer than 1000"},
		{"hang up", "", "has closed the connection"},
		{"notify fails", `{"id":null,"method":"x","params":[]}`, "no x"},
		{"then fails", `{"id":1,"result":1,"error":null}`, "not 1"},
		{"not asked", `{"id":9,"result":1,"error":null}`, "not sent"},
		{"an id that is none", `{"id":"a","result":1,"error":null}`, "not sent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, p := newPair(t, ConnOptions{MaxMessage: 1000, Notify: func(m *Message) error { return errors.New("no " + m.Method) }})
			replies, err := conn.Start(context.Background(), Request{"q", []byte("[]"), func(raw json.RawMessage) error { return fmt.Errorf("not %s", raw) }})
			if err != nil {
				t.Fatal(err)
			}
			p.read()
			if c.say != "" {
				p.say(c.say)
			} else {
				p.nc.Close()
			}
			if _, err := replies[0].Wait(context.Background()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// TestSlowReader: a peer that does not read cannot make us hold more and more.
func TestSlowReader(t *testing.T) {
	c, p := newPair(t, ConnOptions{})
	echo := bytes.Repeat([]byte(`{"id":1,"method":"echo","params":["`+strings.Repeat("x", 1000)+`"]}`), 100)
	_ = p.nc.SetWriteDeadline(time.Now().Add(10 * time.Second))
	for range 1000 {
		if _, err := p.nc.Write(echo); err != nil {
			break
		}
	}
	select {
	case <-c.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("100,000 questions are taken without an end")
	}
	if !errors.Is(c.Err(), ErrProtocol) {
		t.Error(c.Err())
	}
}

func TestTargets(t *testing.T) {
	for _, c := range []struct{ addr, path, want string }{
		{"unix:/run/openvswitch/db.sock", "/run/openvswitch/db.sock", ""},
		{"tcp:192.0.2.1", "192.0.2.1:6640", ""}, {"tcp:192.0.2.1:1", "192.0.2.1:1", ""},
		{"tcp:[2001:db8::1]", "[2001:db8::1]:6640", ""}, {"tcp:[2001:db8::1]:7", "[2001:db8::1]:7", ""},
		{"ssl:192.0.2.1", "", "needs a certificate"}, {"udp:x", "", "is not unix, tcp or ssl"}, {"/run/x", "", "is no place"}, {"unix:", "", "is no place"},
	} {
		target := Target{Addr: c.addr}
		err := target.parse()
		if target.path != c.path || (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s, %v", c.addr, target.path, err)
		}
	}
}
