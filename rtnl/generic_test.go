package rtnl

import (
	"bytes"
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// getFamily asks the controller of generic netlink (linux/genetlink.h) for a
// family by name.
func getFamily(name string) []byte {
	b := openMessage(nil, 0x10, unix.NLM_F_REQUEST, 0)
	b = append(b, 3, 2, 0, 0)
	return closeMessage(nlattr.AppendString(b, 2, name), 0)
}

// TestAsk holds that answers find their request among many, and that refusals
// do not disturb the others.
func TestAsk(t *testing.T) {
	c, err := DialGeneric(-1)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var msgs [][]byte
	for i := range 1500 {
		name := "nlctrl"
		if i%7 == 3 {
			name = "no such family"
		}
		msgs = append(msgs, getFamily(name))
	}
	got := make([]int, len(msgs))
	errs := c.Ask(context.Background(), msgs, func(i int, h Header, body []byte) {
		if h.Type != 0x10 || !bytes.Contains(body, []byte("nlctrl\x00")) {
			t.Errorf("answer %d: %+v %x", i, h, body)
		}
		got[i]++
	})
	for i, err := range errs {
		if refused := errors.Is(err, unix.ENOENT); refused != (i%7 == 3) || err != nil && !refused || got[i] != b2i(!refused) {
			t.Fatalf("request %d: %d answers, %v", i, got[i], err)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestGenericSend holds that a notification socket hears what the kernel
// answers to what it sends itself, refusals too, and at its own port.
func TestGenericSend(t *testing.T) {
	n, err := SubscribeGeneric(-1, nil, 1<<20, 70<<10)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	port, err := n.Port()
	if err != nil || port == 0 {
		t.Fatalf("port %d, %v", port, err)
	}
	if err := n.Send(append(getFamily("nlctrl"), getFamily("no such family")...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var types []uint16
	err = n.Listen(ctx, func(datagrams [][]byte) bool {
		for _, b := range datagrams {
			h, body, _, err := NextMessage(b)
			if err != nil || h.PID != port {
				t.Errorf("%+v, %v", h, err)
			}
			types = append(types, h.Type)
			if h.Type == unix.NLMSG_ERROR {
				if errno, _, err := ParseError(body); errno != int(unix.ENOENT) || err != nil {
					t.Errorf("errno %d, %v", errno, err)
				}
			}
		}
		return len(types) < 2
	})
	if err != nil || len(types) != 2 || types[0] != 0x10 || types[1] != unix.NLMSG_ERROR {
		t.Errorf("types %v, %v", types, err)
	}
	n.Close()
	if err := n.Send(getFamily("nlctrl")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
