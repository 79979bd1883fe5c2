package ubus

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A client's objects go with it, the newest first.
func TestDisconnect(t *testing.T) {
	_, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	var got collector
	if _, err := dial(t, path).Listen(ctx, func(name string, data Table) {
		p, _ := data.String("path")
		got.add(name+" "+p, nil)
	}, "ubus.object.remove"); err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	for _, p := range []string{"b", "a", "c"} {
		if _, err := c.AddObject(ctx, p, echoMethods, echo, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	got.wait(t, "ubus.object.remove c {}", "ubus.object.remove a {}", "ubus.object.remove b {}")
}

// dialAs connects with another uid and gid; SO_PEERCRED keeps those of the
// moment.
func dialAs(t *testing.T, path string, who identity) (c *Client, err error) {
	t.Helper()
	as(t, who, func() { c, err = Dial(testCtx(t), path) })
	if err == nil {
		t.Cleanup(func() { c.Close() })
	}
	return c, err
}

// What recording 84 shows: ids without a name are not let in; the monitor is
// for uid 0 with gid 0.
func TestCredentials(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	b.AddObject("local", echoMethods, echo)
	ctx := testCtx(t)
	for _, ids := range []identity{{54321, 0, nil}, {65534, 54321, nil}} {
		if c, err := dialAs(t, path, ids); !errors.Is(err, io.EOF) && !isReset(err) {
			t.Errorf("%v: %v %v", ids, c, err)
		}
	}
	c, err := dialAs(t, path, identity{0, 65534, nil})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Call(ctx, "local", "who", nil); err != nil || !textIs(got, "user", "root") || !textIs(got, "group", "nogroup") {
		t.Error(got, err)
	}
	if err := c.Monitor(ctx, nil); StatusOf(err) != StatusPermissionDenied {
		t.Error(err)
	}
	if c, err = dialAs(t, path, identity{65534, 65534, nil}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(ctx, "local", "who", nil); StatusOf(err) != StatusNotFound {
		t.Error(err)
	}
}

func textIs(replies []Table, name, want string) bool {
	got, ok := replies[0].String(name)
	return ok && got == want
}

func TestSupplementaryGroup(t *testing.T) {
	dir := t.TempDir()
	text := `{"group":"daemon","access":{"local":{"methods":["who"],"acl":{"x":1}}},"send":["a"]}`
	if err := os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	b, path := startBroker(t, BrokerOptions{ACLDir: dir})
	b.AddObject("local", echoMethods, echo)
	ctx := testCtx(t)
	c, err := dialAs(t, path, identity{65534, 65534, []uint32{7, 1}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := c.Lookup(ctx, "local")
	if err != nil || len(info) != 1 || len(info[0].Methods) != 1 || info[0].Methods[0].Name != "who" {
		t.Fatal(info, err)
	}
	if _, err := c.CallID(ctx, info[0].ID, "who", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.CallID(ctx, info[0].ID, "fail", nil); StatusOf(err) != StatusPermissionDenied {
		t.Error(err)
	}
	if err := c.Send(ctx, "a", nil); err != nil {
		t.Error(err)
	}
	if c, err = dialAs(t, path, identity{65534, 65534, []uint32{7}}); err != nil {
		t.Fatal(err)
	}
	if info, err = c.Lookup(ctx, "local"); err != nil || len(info) != 0 {
		t.Error("visible without the group:", info, err)
	}
}

// Object 2 hands out the private part of the access lists for own objects.
func TestACLQuery(t *testing.T) {
	dir := t.TempDir()
	text := `{"user":"nobody","access":{"own*":{"methods":["who"],"acl":{"x":1}},"other":{"acl":{"y":1}}}}`
	os.WriteFile(filepath.Join(dir, "a.json"), []byte(text), 0o644)
	_, path := startBroker(t, BrokerOptions{ACLDir: dir})
	ctx := testCtx(t)
	c := dial(t, path)
	if _, err := c.AddObject(ctx, "own.x", echoMethods, echo, nil); err != nil {
		t.Fatal(err)
	}
	got, err := c.CallID(ctx, aclObject, "query", nil)
	if err != nil || len(got) != 1 || got[0].JSON() != `{"seq":0,"acl":[{"obj":"own*","user":"nobody","acl":{"x":1}}]}` {
		t.Error(got, err)
	}
}

// Sizes around the limit: recorded in 61.
func TestMessageSize(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	b.AddObject("local", echoMethods, echo)
	c := dial(t, path)
	id, err := c.LookupID(testCtx(t), "local")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{MaxMessage, MaxMessage + 1} {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		m, mark := openMessage(nil, MsgInvoke, 9, id)
		m = AppendAttrString(AppendAttrUint32(m, AttrObjID, id), AttrMethod, "fail")
		m, data := OpenAttr(m, AttrData)
		m = CloseAttr(append(m, make([]byte, n-(len(m)-8))...), data)
		m = closeMessage(m, mark)
		conn.Write(m)
		r := newMsgReader(conn, maxForwarded)
		r.next() // HELLO
		h, _, _, err := r.next()
		if n == MaxMessage && (err != nil || h.Type != MsgStatus || h.Seq != 9) || n > MaxMessage && err == nil {
			t.Errorf("%d bytes: %v %v", n, h, err)
		}
	}
}
