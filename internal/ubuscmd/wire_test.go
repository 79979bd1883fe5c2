package ubuscmd

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/ubus"
)

// The recorded command lines meet a broker that says, octet for octet, what
// ubusd said. They must send what the ubus of the recording sent, print what it
// printed, ids included, and end as it ended.
func TestRecordedWire(t *testing.T) {
	files, err := filepath.Glob(recordingsDir + "*.jsonl.gz")
	if err != nil || len(files) < 30 {
		t.Fatal(files, err)
	}
	played := 0
	t.Parallel()
	var par parallel
	defer par.wait()
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".jsonl.gz")
		h, msgs := load(t, name)
		for i, p := range pairRuns(t, h.Runs, msgs) {
			played++
			par.run(t, fmt.Sprintf("%s/%d", name, i), func(t *testing.T) { playRun(t, p.run, p.script) })
		}
	}
	if played < 190 {
		t.Errorf("only %d command lines", played)
	}
}

// parallel runs tests that mostly wait, more at once than there are processors.
type parallel struct {
	wg    sync.WaitGroup
	slots chan struct{}
}

func (p *parallel) run(t *testing.T, name string, f func(*testing.T)) {
	if p.slots == nil {
		p.slots = make(chan struct{}, 16)
	}
	p.slots <- struct{}{}
	p.wg.Go(func() {
		defer func() { <-p.slots }()
		t.Run(name, f)
	})
}

func (p *parallel) wait() { p.wg.Wait() }

type pair struct {
	run    recRun
	script []recMsg
}

// pairRuns finds the connection of each command: the n-th run through a socket
// made the n-th connection there.
func pairRuns(t *testing.T, runs []recRun, msgs []recMsg) (pairs []pair) {
	t.Helper()
	scripts := map[string][][]recMsg{} // by socket
	at := map[string]int{}
	for _, m := range msgs {
		socket, _, _ := strings.Cut(m.Conn, "#")
		i, seen := at[m.Conn]
		if !seen && m.Type == "CLOSE" && m.Dir == "c2s" {
			continue // of the recording before
		}
		if !seen || m.Type == "HELLO" {
			i = len(scripts[socket])
			at[m.Conn] = i
			scripts[socket] = append(scripts[socket], nil)
		}
		scripts[socket][i] = append(scripts[socket][i], m)
	}
	for _, r := range runs {
		if r.RC == nil {
			continue // not a command line; the last through its socket
		}
		socket := strings.TrimSuffix(filepath.Base(r.Cmd[2]), ".sock")
		left := scripts[socket]
		if strings.HasPrefix(r.Stderr, "Usage: ") && *r.RC == 1 { // did not get to connect
			pairs = append(pairs, pair{r, nil})
			continue
		}
		if len(left) == 0 {
			t.Fatalf("no connection for %q", r.Cmd)
		}
		scripts[socket] = left[1:]
		pairs = append(pairs, pair{r, left[0]})
	}
	return pairs
}

var (
	longArg = regexp.MustCompile(`"(.)"\*(\d+)`)
	longOut = regexp.MustCompile(`^<(\d+) bytes>$`)
)

func playRun(t *testing.T, r recRun, script []recMsg) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	args := make([]string, len(r.Cmd)-3)
	for i, a := range r.Cmd[3:] {
		args[i] = longArg.ReplaceAllStringFunc(a, func(s string) string {
			m := longArg.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[2])
			return `"` + strings.Repeat(m[1], n) + `"`
		})
	}
	bg := start(path, args)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if script == nil {
			return
		}
		f := &fakeBroker{t: t, script: withoutBlindRequest(script)}
		if slices.ContainsFunc(args, func(a string) bool { return a == "listen" || a == "subscribe" || a == "monitor" }) {
			f.signal = bg.cancel
		}
		if slices.Contains(args, "-t") {
			f.signal = nil
		}
		f.serve(l)
	}()
	rc := bg.finish(t, true)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the recording did not end")
	}
	if *r.RC != rc {
		t.Errorf("%q: exit code %d, want %d", r.Cmd, rc, *r.RC)
	}
	got, want := bg.stdout.String(), r.Stdout
	if m := longOut.FindStringSubmatch(want); m != nil {
		got, want = strconv.Itoa(len(got)), m[1]
	}
	if got != want {
		t.Errorf("%q: stdout\n got %q\nwant %q", r.Cmd, got, want)
	}
	if got := bg.stderr.String(); got != r.Stderr {
		t.Errorf("%q: stderr\n got %q\nwant %q", r.Cmd, got, r.Stderr)
	}
}

// withoutBlindRequest takes a request out that ours does not make: when LOOKUP
// of a hidden object gives success and no object, libubus goes on with whatever
// its memory holds for an id, and is told that there is no such object.
func withoutBlindRequest(script []recMsg) []recMsg {
	for i := range script {
		if i+3 >= len(script) || script[i].Type != "LOOKUP" || script[i+1].Type != "STATUS" {
			continue
		}
		lookup, blind, answer := &script[i+1].msg, &script[i+2], &script[i+3].msg
		if s, ok := attr(lookup, ubus.AttrStatus); !ok || !bytes.Equal(s.Data, []byte{0, 0, 0, 0}) {
			continue
		}
		s, ok := attr(answer, ubus.AttrStatus)
		if ok && bytes.Equal(s.Data, []byte{0, 0, 0, 4}) && (blind.Type == "INVOKE" || blind.Type == "SUBSCRIBE") {
			return slices.Concat(script[:i+2], script[i+4:])
		}
	}
	return script
}

// fakeBroker says its part of a recorded connection.
type fakeBroker struct {
	t      *testing.T
	signal func() // ends the command as SIGTERM does; nil if it ends by itself
	script []recMsg
}

func (f *fakeBroker) serve(l *net.UnixListener) {
	l.SetDeadline(time.Now().Add(10 * time.Second))
	conn, err := l.AcceptUnix()
	if err != nil {
		f.t.Error(err)
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	for i, m := range f.script {
		if f.waits(i) {
			time.Sleep(50 * time.Millisecond) // what needs no answer is printed by then
			f.signal()
		}
		switch {
		case m.Dir == "c2s" && m.Type == "CLOSE":
			if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
				f.t.Errorf("at the end: %x %v", b, err)
			}
			return
		case m.Dir == "c2s":
			if !f.expect(&f.script[i], r) {
				return
			}
		case m.Type == "CLOSE":
			return
		default:
			f.say(conn, &f.script[i])
		}
	}
}

// monitorRemove is how INVOKE of "remove" at the monitor begins.
var monitorRemove = []byte("\x03\x00\x00\x08\x00\x00\x00\x03\x04\x00\x00\x0bremove\x00")

// waits says whether the command waits for a signal before message i: what
// comes is only its farewell.
func (f *fakeBroker) waits(i int) bool {
	m := &f.script[i]
	if m.Dir != "c2s" || f.signal == nil {
		return false
	}
	return m.Type == "CLOSE" || bytes.Contains(m.raw, monitorRemove)
}

func (f *fakeBroker) expect(m *recMsg, r io.Reader) bool {
	got := make([]byte, 12)
	_, err := io.ReadFull(r, got)
	if err == nil {
		rest := make([]byte, max(0, int(binary.BigEndian.Uint32(got[8:])&0xffffff)-4))
		_, err = io.ReadFull(r, rest)
		got = append(got, rest...)
	}
	if err != nil || !bytes.Equal(got, m.raw) {
		f.t.Errorf("%s: %v\n got %.400x\nwant %.400x", m.Type, err, got, m.raw)
		return false
	}
	return true
}

func (f *fakeBroker) say(conn *net.UnixConn, m *recMsg) {
	var rights []byte
	if m.FD != nil {
		pr, pw, err := os.Pipe()
		if err != nil {
			f.t.Error(err)
			return
		}
		defer pr.Close()
		defer pw.Close()
		rights = unix.UnixRights(int(pr.Fd()))
	}
	if n, _, err := conn.WriteMsgUnix(m.raw, rights, nil); err != nil {
		f.t.Error(err)
	} else if _, err := conn.Write(m.raw[n:]); err != nil && n < len(m.raw) {
		f.t.Error(err)
	}
}

// restore makes a message whole of which the recorder kept the beginning, its
// length and its hash: one letter fills it up to the final NUL and padding.
func (m *recMsg) restore(t testing.TB) {
	t.Helper()
	raw := append(m.raw, bytes.Repeat(m.raw[len(m.raw)-1:], m.Len-len(m.raw))...)
	for zeros := range 5 {
		copy(raw[m.Len-zeros:], make([]byte, zeros))
		if sum := sha256.Sum256(raw); hex.EncodeToString(sum[:]) == m.SHA256 {
			m.raw = raw
			return
		}
	}
	t.Fatalf("a %s message cannot be restored", m.Type)
}
