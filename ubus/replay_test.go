package ubus

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// replayer plays the clients of a recording, servers included, against a
// broker of ours and compares what it sends with what ubusd sent. Ids are
// random: they are learnt where they first appear and must be used
// consistently from then on. So are the counters that began before the
// recording.
type replayer struct {
	t      *testing.T
	b      *Broker
	path   string
	aclDir string
	lists  []aclByName // for the reloads to come
	cases  map[string]string
	conns  map[string]*rawConn
	ids    map[uint32]uint32 // recorded to ours
	counts map[string]uint32 // difference of a counter to ours, by what it counts
	n      int
	ghost  *Client
	next   []recMsg // after the one that is played
}

type rawConn struct {
	*net.UnixConn
	r *msgReader
}

// identity is who a client runs as.
type identity struct {
	uid, gid uintptr
	groups   []uint32
}

// identityOf says who the client behind a recorded connection was. What the
// index of the recordings leaves open of 84 is filled in.
func identityOf(conn string) identity {
	name, _, _ := strings.Cut(conn, "#")
	switch name {
	case "nob":
		return identity{65534, 65534, nil}
	case "u777":
		return identity{54321, 65534, nil}
	case "u0g":
		return identity{65534, 54321, nil}
	case "g0":
		return identity{65534, 0, nil}
	case "xg":
		return identity{65534, 65534, []uint32{1}}
	case "root2":
		return identity{0, 65534, nil}
	}
	return identity{}
}

// as runs f on a thread of its own that has become who.
func as(t testing.TB, who identity, f func()) {
	t.Helper()
	if who.uid == 0 && who.gid == 0 && who.groups == nil {
		f()
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		_, _, e1 := syscall.RawSyscall(syscall.SYS_SETGROUPS, uintptr(len(who.groups)), uintptr(unsafe.Pointer(unsafe.SliceData(who.groups))), 0)
		_, _, e2 := syscall.RawSyscall(syscall.SYS_SETRESGID, who.gid, who.gid, who.gid)
		_, _, e3 := syscall.RawSyscall(syscall.SYS_SETRESUID, who.uid, who.uid, who.uid)
		if e1|e2|e3 != 0 {
			t.Errorf("become %v: %v %v %v", who, e1, e2, e3)
			return
		}
		f()
	}()
	<-done
}

func newReplayer(t *testing.T, acl aclByName) *replayer {
	r := &replayer{t: t, conns: map[string]*rawConn{}, ids: map[uint32]uint32{}, counts: map[string]uint32{}, aclDir: t.TempDir()}
	r.writeACL(acl)
	r.b, r.path = startBroker(t, BrokerOptions{ACLDir: r.aclDir})
	return r
}

func (r *replayer) writeACL(acl aclByName) {
	for name, text := range acl {
		if err := os.WriteFile(filepath.Join(r.aclDir, name), text, 0o644); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *replayer) conn(name string) *rawConn {
	if c := r.conns[name]; c != nil {
		return c
	}
	var conn *net.UnixConn
	var err error
	as(r.t, identityOf(name), func() { conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path}) })
	if err != nil {
		r.t.Fatal(err)
	}
	c := &rawConn{conn, newMsgReader(conn, maxForwarded)}
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

// recount turns the recorded value of a counter of the broker at want[at:] into
// ours. The first one tells the difference.
func (r *replayer) recount(what string, want, got []byte, at, size int) {
	if len(got) != len(want) {
		return // differs anyway
	}
	read := func(b []byte) (v uint32) {
		for _, c := range b[at : at+size] {
			v = v<<8 | uint32(c)
		}
		return v
	}
	diff, known := r.counts[what]
	if !known {
		diff = read(got) - read(want)
		r.counts[what] = diff
	}
	v := read(want) + diff
	for i := range size {
		want[at+i] = byte(v >> (8 * (size - 1 - i)))
	}
}

// recountAll recounts what a message of the broker counts itself: events,
// changes of activity by object, reloads.
func (r *replayer) recountAll(want, got []byte) {
	t, peer := MsgType(want[1]), binary.BigEndian.Uint32(want[4:])
	switch {
	case t == MsgNotify:
		r.recount("activity "+string(parseAttrsID(want)), want, got, 2, 2)
	case t == MsgInvoke && peer == 0:
		r.recount("event", want, got, 2, 2)
		if bytes.Contains(want, []byte("ubus.acl.sequence\x00")) {
			r.recount("reload", want, got, len(want)-4, 4)
		}
	}
}

func parseAttrsID(m []byte) []byte {
	a := parseAttrs(m[HeaderLen:])
	return binary.BigEndian.AppendUint32(nil, a.objID)
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
			if text := r.cases[msgs[i].Conn]; text != "" {
				r.t.Logf("case %q", text)
			}
			return
		}
	}
}

// expectQuiet fails when the broker sent more than was recorded.
func (r *replayer) expectQuiet() {
	for name, c := range r.conns {
		c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		if h, payload, _, err := c.r.next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			r.t.Errorf("at the end on %s: %v %x %v", name, h, payload, err)
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
	// The broker closes the connection for an INCOMPLETE one while we write.
	if err := writeChunk(c.UnixConn, chunk); err != nil && m.Type != "INCOMPLETE" {
		r.t.Errorf("message %d on %s: %v", m.T, m.Conn, err)
	}
	if len(r.next) > 0 && r.next[0].Dir == "c2s" && r.next[0].Conn != m.Conn {
		time.Sleep(2 * time.Millisecond) // keeps the order
	}
}

const wireless = "network.wireless"

// beWireless adds the object of a client that the recorder did not see. Gaps in
// the numbers of the events show that it listens, too.
func (r *replayer) beWireless() {
	if r.ghost != nil {
		return
	}
	r.ghost = dial(r.t, r.path)
	for _, m := range loadRecording(r.t, "02-list").msgs {
		if a := parseAttrs(tail(m.raw)); string(a.objPath) == wireless {
			if _, err := r.ghost.AddObject(testCtx(r.t), wireless, ParseSignature(a.signature), nil, nil); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if _, err := r.ghost.Listen(testCtx(r.t), func(string, Table) {}, "ubus.object.add"); err != nil {
		r.t.Fatal(err)
	}
}

// outside does what was done beside the recorded connections, when its effect
// is about to be seen.
func (r *replayer) outside(m *recMsg) {
	if m.Type != "INVOKE" {
		return
	}
	switch a := parseAttrs(tail(m.raw)); {
	case string(a.method) == "ubus.acl.sequence" && r.counts["reloads"] < uint32(len(r.lists)):
		r.writeACL(r.lists[r.counts["reloads"]])
		r.counts["reloads"]++
		r.b.ReloadACL()
	case !bytes.Contains(a.data, []byte(wireless)):
	case string(a.method) == "ubus.object.add":
		r.beWireless()
	case string(a.method) == "ubus.object.remove":
		r.ghost.Close()
	}
}

func (r *replayer) expect(m *recMsg, c *rawConn) {
	r.outside(m)
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	h, payload, fd, err := c.r.next()
	for err != nil && errors.Is(err, os.ErrDeadlineExceeded) && r.sendAhead() {
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		h, payload, fd, err = c.r.next()
	}
	if err != nil {
		r.t.Fatalf("message %d on %s: %v; want %s %.200x", m.T, m.Conn, err, m.Type, m.raw)
	}
	closeFile(fd)
	got := buildMessage(nil, h.Type, h.Seq, h.Peer, func(b []byte) []byte { return append(b, payload...) })
	got[0], got[8] = h.Version, h.top
	r.learn(m.raw, got)
	want := r.ours(m.raw)
	r.recountAll(want, got)
	if !bytes.Equal(got, want) {
		r.t.Fatalf("message %d on %s: %s\n got %.2000x\nwant %.2000x", m.T, m.Conn, m.Type, got, want)
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

// Every exchange that was recorded between ubusd and its clients holds. The
// one exception is 63, where ubusd drops messages in silence.
func TestReplay(t *testing.T) {
	total, played := 0, 0
	for _, name := range recordingNames(t) {
		if name == "63-slow-reader" {
			continue
		}
		played++
		t.Run(name, func(t *testing.T) {
			rec := loadRecording(t, name)
			r := newReplayer(t, rec.ACL)
			setup(t, r, name)
			if name == "70-malformed" {
				r.cases = caseNames(t, rec)
			}
			r.playAll(rec.msgs)
			r.expectQuiet()
			total += r.n
		})
	}
	if total < 1000 || played < 32 {
		t.Errorf("only %d recordings, %d messages of the broker compared", played, total)
	}
}

// caseNames maps connections to the cases that they are.
func caseNames(t *testing.T, rec recording) map[string]string {
	var results []struct{ Case, Conn string }
	if err := json.Unmarshal(rec.Results, &results); err != nil || len(results) != 80 {
		t.Fatal(len(results), err)
	}
	names := map[string]string{}
	for _, c := range results {
		names[c.Conn] = c.Case
	}
	return names
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
	if name == "50-fd-netns-updown" || name == "22-netifd-killed" {
		r.leave(conn)
		r.playAll(loadRecording(t, "21-netifd-reload").msgs)
	}
	r.leave(conn)
	if name > "7" { // the server was restarted
		r.ids[0xb722125a], r.ids[0x23771ede] = r.ids[0xe265086e], r.ids[0x8aa6256c]
	}
	if name == "84-acl-uids" { // a group that is unknown becomes that of id 0
		r.lists = []aclByName{
			{"a.json": json.RawMessage(`{"group":"nosuchgroup","access":{"echo":{"methods":["*"]}}}`)},
			{"a.json": json.RawMessage(`{"group":"daemon","access":{"echo":{"methods":["*"]}}}`)},
		}
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
