package daemon

import (
	"context"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

func dialIn(t testing.TB, ns *nstest.NS) *rtnl.Conn {
	t.Helper()
	conn, err := rtnl.DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// setLink sets a link up or down and returns the time right before.
func setLink(t testing.TB, ns *nstest.NS, conn *rtnl.Conn, name string, up bool) time.Time {
	t.Helper()
	r := rtnl.LinkRequest{Link: rtnl.Link{Name: name}, Set: rtnl.LinkName | rtnl.LinkUp}
	if up {
		r.Flags = unix.IFF_UP
	}
	msg := rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK, 0, &r)
	at := time.Now()
	if err := conn.Execute(context.Background(), [][]byte{msg})[0]; err != nil {
		t.Fatal(err)
	}
	return at
}
