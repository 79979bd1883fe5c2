package ubus

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// replayer plays the clients of a recording, servers included, against a
// broker of ours and compares what it sends with what ubusd sent. Ids are
// random: they are learnt where they first appear and must be used
// consistently from then on.
type replayer struct {
	t     *testing.T
	path  string
	conns map[string]*rawConn
	ids   map[uint32]uint32 // recorded to ours
	cred  chan credentials  // of the next client
	n     int
	ghost bool
	next  []recMsg // after the one that is played
}

type rawConn struct {
	*net.UnixConn
	r *msgReader
}

var (
	root   = credentials{user: "root", group: "root"}
	nobody = credentials{uid: 65534, gid: 65534, user: "nobody", group: "nogroup"}
)

func newReplayer(t *testing.T, acl aclByName) *replayer {
	r := &replayer{t: t, conns: map[string]*rawConn{}, ids: map[uint32]uint32{}, cred: make(chan credentials, 1)}
	dir := t.TempDir()
	for name, text := range acl {
		os.WriteFile(filepath.Join(dir, name), text, 0o644)
	}
	_, r.path = startBroker(t, BrokerOptions{ACLDir: dir, creds: func(*net.UnixConn) (credentials, error) { return <-r.cred, nil }})
	return r
}

func (r *replayer) conn(name string) *rawConn {
	if c := r.conns[name]; c != nil {
		return c
	}
	if strings.HasPrefix(name, "nob") {
		r.cred <- nobody
	} else {
		r.cred <- root
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path})
	if err != nil {
		r.t.Fatal(err)
	}
	c := &rawConn{conn, newMsgReader(conn)}
	r.conns[name] = c
	r.t.Cleanup(func() { conn.Close(); c.r.close() })
	return c
}

// ours replaces recorded ids in a message.
func (r *replayer) ours(b []byte) []byte {
	b = bytes.Clone(b)
	for i := 4; i+4 <= len(b); i += 4 {
		if id, ok := r.ids[binary.BigEndian.Uint32(b[i:])]; ok && i != 8 {
			binary.BigEndian.PutUint32(b[i:], id)
		}
	}
	return b
}

// learn notes ids that appear for the first time, word by word.
func (r *replayer) learn(rec, got []byte) {
	for i := 4; i+4 <= min(len(rec), len(got)); i += 4 {
		a, b := binary.BigEndian.Uint32(rec[i:]), binary.BigEndian.Uint32(got[i:])
		if _, known := r.ids[a]; !known && a != b && a >= 0x10000 && b >= firstID && i != 8 {
			r.ids[a] = b
		}
	}
}

// counted says whether the broker counts the seq of a message itself, so that
// it depends on what went before the recording.
func counted(b []byte) bool {
	t, peer := MsgType(b[1]), binary.BigEndian.Uint32(b[4:])
	return t == MsgNotify || t == MsgUnsubscribe || t == MsgInvoke && peer == 0
}

// playAll plays msgs in order. A client connects ahead of the message that
// tells a monitor of it, which the recorder noted first.
func (r *replayer) playAll(msgs []recMsg) {
	for i := range msgs {
		if i+1 < len(msgs) && msgs[i].Type == "MONITOR" && msgs[i+1].Type == "HELLO" {
			r.conn(msgs[i+1].Conn)
		}
		if i+1 < len(msgs) && msgs[i].Type == "CLOSE" && msgs[i+1].Type == "INCOMPLETE" {
			msgs[i], msgs[i+1] = msgs[i+1], msgs[i] // what was left came before
		}
		r.next = msgs[i+1:]
		r.play(&msgs[i])
		if r.t.Failed() {
			return
		}
	}
}

// sendAhead sends the next message of a client before its turn: the recorder
// noted what it caused first. False when there is none.
func (r *replayer) sendAhead() bool {
	for i := range r.next[:min(8, len(r.next))] {
		if m := &r.next[i]; m.Dir == "c2s" && !m.played {
			r.play(m)
			return true
		}
	}
	return false
}

func (r *replayer) play(m *recMsg) {
	if m.played {
		return
	}
	m.played = m.Dir == "c2s"
	c := r.conn(m.Conn)
	switch {
	case m.Type == "CLOSE" && m.Dir == "c2s":
		c.Close()
		delete(r.conns, m.Conn)
		time.Sleep(2 * time.Millisecond)
	case m.Type == "CLOSE":
		r.expectClose(m, c)
		delete(r.conns, m.Conn)
	case m.Dir == "c2s":
		r.send(m, c)
	default:
		r.expect(m, c)
	}
}

func (r *replayer) send(m *recMsg, c *rawConn) {
	chunk := outChunk{b: r.ours(m.raw)}
	if m.FD != nil {
		pr, pw, err := os.Pipe()
		if err != nil {
			r.t.Fatal(err)
		}
		pw.Close()
		defer pr.Close()
		chunk.fd = pr
	}
	if err := writeChunk(c.UnixConn, chunk); err != nil {
		r.t.Errorf("message %d on %s: %v", m.T, m.Conn, err)
	}
	if len(r.next) > 0 && r.next[0].Dir == "c2s" && r.next[0].Conn != m.Conn {
		time.Sleep(2 * time.Millisecond) // keeps the order
	}
}

// wireless adds the object of a client that the recorder did not see.
func (r *replayer) wireless() {
	if r.ghost {
		return
	}
	r.ghost = true
	r.cred <- root
	for _, m := range loadRecording(r.t, "02-list").msgs {
		if a := parseAttrs(tail(m.raw)); string(a.objPath) == "network.wireless" {
			if _, err := dial(r.t, r.path).AddObject(testCtx(r.t), "network.wireless", ParseSignature(a.signature), nil, nil); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func (r *replayer) expect(m *recMsg, c *rawConn) {
	if m.Type == "INVOKE" && bytes.Contains(m.raw, []byte("network.wireless")) {
		r.wireless()
	}
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	h, payload, fd, err := c.r.next()
	for err != nil && errors.Is(err, os.ErrDeadlineExceeded) && r.sendAhead() {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		h, payload, fd, err = c.r.next()
	}
	if err != nil {
		r.t.Fatalf("message %d on %s: %v; want %s %x", m.T, m.Conn, err, m.Type, m.raw)
	}
	closeFile(fd)
	got := buildMessage(nil, h.Type, h.Seq, h.Peer, func(b []byte) []byte { return append(b, payload...) })
	r.learn(m.raw, got)
	want := r.ours(m.raw)
	want[0], want[8] = 0, 0 // ubusd copies a wrong version, or id of the blob, of a PING
	if counted(want) {
		copy(want[2:4], got[2:4])
	}
	if h.Type == MsgInvoke && h.Peer == 0 { // counts reloads since the start
		name, count := []byte("ubus.acl.sequence\x00"), len(got)-4
		if bytes.Contains(got, name) {
			copy(want[count:], got[count:])
		}
	}
	if !bytes.Equal(got, want) {
		r.t.Fatalf("message %d on %s: %s\n got %x\nwant %x", m.T, m.Conn, m.Type, got, want)
	}
	if (fd != nil) != (m.FD != nil) {
		r.t.Errorf("message %d on %s: descriptor %v, recorded %v", m.T, m.Conn, fd, m.FD)
	}
	r.n++
}

func (r *replayer) expectClose(m *recMsg, c *rawConn) {
	c.SetReadDeadline(time.Now().Add(time.Second))
	if h, _, _, err := c.r.next(); !errors.Is(err, io.EOF) && !isReset(err) {
		r.t.Errorf("message %d on %s: want close, got %v %v", m.T, m.Conn, h, err)
	}
	r.n++
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && strings.Contains(op.Error(), "reset")
}

func TestReplay(t *testing.T) {
	total := 0
	for _, name := range recordingNames(t) {
		if strings.HasPrefix(name, "6") || name == "84-acl-uids" || name == "22-netifd-killed" {
			continue // sizes, uids and the order of removal have tests of their own
		}
		t.Run(name, func(t *testing.T) {
			rec := loadRecording(t, name)
			r := newReplayer(t, rec.ACL)
			setup(t, r, name)
			for _, m := range rec.msgs {
				if m.Truncated {
					t.Fatalf("message %d is truncated", m.T)
				}
			}
			r.playAll(rec.msgs)
			total += r.n
		})
	}
	if total < 800 {
		t.Errorf("only %d messages of the broker compared", total)
	}
}

// setup plays what was on the bus before the recording began.
func setup(t *testing.T, r *replayer, name string) {
	from, conn := "40-echo-start", "echo"
	switch {
	case name < "02", name == from, name == "20-netifd-start":
		return
	case name < "32" || name == "50-fd-netns-updown":
		from, conn = "20-netifd-start", "netifd"
	}
	msgs := slices.DeleteFunc(loadRecording(t, from).msgs, func(m recMsg) bool {
		return m.Conn != conn && conn != "netifd" || m.Type == "CLOSE"
	})
	r.playAll(msgs)
	if name == "50-fd-netns-updown" {
		r.leave(conn)
		r.playAll(loadRecording(t, "21-netifd-reload").msgs)
	}
	r.leave(conn)
	if name > "7" { // the server was restarted
		r.ids[0xb722125a], r.ids[0x23771ede] = r.ids[0xe265086e], r.ids[0x8aa6256c]
	}
}

// leave ends all connections but one.
func (r *replayer) leave(keep string) {
	for name, c := range r.conns {
		if name != keep {
			c.Close()
			delete(r.conns, name)
		}
	}
	time.Sleep(2 * time.Millisecond)
}
