package ubus

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzBroker sends octets to a broker, as they are and behind a head that makes
// one message of them. It must go on serving others and forget the sender.
func FuzzBroker(f *testing.F) {
	for _, name := range []string{"32-notify-reply", "33-listen-send", "35-monitor", "70-malformed"} {
		for _, m := range loadRecording(f, name).msgs {
			if m.Dir == "c2s" && len(m.raw) > 0 && len(m.raw) < 4096 {
				f.Add(m.raw)
			}
		}
	}
	b, path := startBroker(f, BrokerOptions{})
	b.AddObject("local", echoMethods, func(r *Request) { r.Done(StatusOK) })
	c := dial(f, path)
	f.Fuzz(func(t *testing.T, data []byte) {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		if len(data) >= HeaderLen {
			conn.Write(buildMessage(nil, MsgType(data[1]), 1, 0, func(b []byte) []byte { return append(b, data[HeaderLen:]...) }))
		}
		conn.Write(data)
		conn.CloseWrite()
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Fatal(err)
		}
		if err := c.Ping(testCtx(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return len(b.clients) == 2 && len(b.objects) == 1 && len(b.patterns) == 0 && len(b.types) == 1
		})
	})
}

// FuzzAccessFile reads access lists of any content: every entry must be for
// somebody, and what is not root by name or number is never allowed more than
// its entries say.
func FuzzAccessFile(f *testing.F) {
	for _, name := range []string{"81-acl-user", "82-acl-group-wildcards"} {
		for _, text := range loadRecording(f, name).ACL {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte(`{"group":"daemon","access":{"*":{"methods":"x","acl":[1]}},"listen":[1,"a*"],"send":{}}`))
	name := filepath.Join(f.TempDir(), "a.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		entries, err := loadAccessFile(name)
		if err != nil {
			return
		}
		l := &accessList{entries: entries}
		stranger := &credentials{uid: 54321, gid: 54321}
		for _, e := range entries {
			if e.who.name == "" && e.who.id != 0 {
				t.Errorf("entry for nobody: %+v", e)
			}
			if l.allows(stranger, e.kind, e.name, "m") {
				t.Errorf("a stranger may %v %q", e.kind, e.name)
			}
		}
	})
}
