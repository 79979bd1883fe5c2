package ubus

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// A descriptor that the handler does not take stays open until the call is
// done, which may be long after the handler has returned, and no longer; so for
// objects of the broker's process and of a client.
func TestFDOwnership(t *testing.T) {
	b, path := startBroker(t, BrokerOptions{})
	ctx := testCtx(t)
	calls := make(chan *Request, 1)
	keep := func(r *Request) { calls <- r }
	methods := []Method{{Name: "netns_updown"}}
	if err := b.AddObject("local", methods, keep); err != nil {
		t.Fatal(err)
	}
	if _, err := dial(t, path).AddObject(ctx, "remote", methods, keep, nil); err != nil {
		t.Fatal(err)
	}
	c := dial(t, path)
	for _, name := range []string{"local", "remote"} {
		for _, take := range []bool{false, true} {
			id, err := c.LookupID(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			pr, pw, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer pr.Close()
			result := make(chan error, 1)
			go func() { // Invoke takes pw over
				_, fd, err := c.Invoke(ctx, id, "netns_updown", nil, pw)
				closeFile(fd)
				result <- err
			}()
			r := <-calls
			time.Sleep(10 * time.Millisecond) // the handler has returned
			if open := isOpen(t, pr, 10*time.Millisecond); !open {
				t.Errorf("%s: closed before the call was done", name)
			}
			var taken *os.File
			if take {
				taken = r.TakeFD()
				if taken == nil || r.TakeFD() != nil {
					t.Fatalf("%s: took %v, or took it twice", name, taken)
				}
			}
			r.Done(StatusOK)
			if err := <-result; err != nil {
				t.Error(err)
			}
			if open := isOpen(t, pr, 200*time.Millisecond); open != take {
				t.Errorf("%s: after Done: open %v, taken %v", name, open, take)
			}
			if r.TakeFD() != nil {
				t.Errorf("%s: a descriptor is left after Done", name)
			}
			closeFile(taken)
			if take && isOpen(t, pr, time.Second) {
				t.Errorf("%s: somebody else has it, too", name)
			}
		}
	}
}

// isOpen says whether somebody still holds the other end of a pipe after wait.
func isOpen(t *testing.T, pr *os.File, wait time.Duration) bool {
	t.Helper()
	pr.SetReadDeadline(time.Now().Add(wait))
	_, err := pr.Read(make([]byte, 1))
	if err != io.EOF && !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	return err != io.EOF
}

// Descriptors for someone who does not read do not pile up in the broker: the
// client, which may be nobody who calls an object of its own, is dropped.
func TestFDFlood(t *testing.T) {
	_, path := startBroker(t, BrokerOptions{})
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	in := newMsgReader(conn, maxForwarded)
	defer in.close()
	in.next() // HELLO
	conn.Write(buildMessage(nil, MsgAddObject, 1, 0, nil))
	_, payload, _, err := in.next()
	if err != nil {
		t.Fatal(err)
	}
	id := parseAttrs(payload).objID
	before := measure().files
	call := buildMessage(nil, MsgInvoke, 1, id, func(b []byte) []byte {
		return AppendAttrString(AppendAttrUint32(b, AttrObjID, id), AttrMethod, "x")
	})
	most, dropped := 0, false
	for i := 0; i < 20_000 && !dropped; i++ {
		f, err := os.Open("/dev/null")
		if err != nil {
			t.Fatal(err)
		}
		err = writeChunk(conn, outChunk{b: call, fd: f})
		f.Close()
		dropped = errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
		if err != nil && !dropped {
			t.Fatal(err)
		}
		if i%50 == 0 || dropped {
			most = max(most, measure().files-before)
		}
	}
	if !dropped || most > queueFDs+8 {
		t.Errorf("dropped %v, %d descriptors", dropped, most)
	}
	eventually(t, func() bool { return measure().files <= before })
	if err := dial(t, path).Ping(testCtx(t)); err != nil {
		t.Error(err)
	}
}
