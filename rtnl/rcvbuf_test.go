package rtnl

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestHugeReceiveBuffer: more than an int of 32 bits can say is as much as there
// can be, not next to nothing.
func TestHugeReceiveBuffer(t *testing.T) {
	w := newWorld(t)
	for _, octets := range []int{3 << 30, 1<<32 + 1} {
		n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_LINK}, octets)
		if err != nil {
			t.Fatal(err)
		}
		if size, err := n.Buffer(); err != nil || size < 128<<10 {
			t.Errorf("asked for %d octets: buffer of %d, %v", octets, size, err)
		}
		n.Close()
	}
}

// TestReceiveBuffer: a socket gets the buffer that was asked for, whatever
// net.core.rmem_max says (SO_RCVBUFFORCE).
func TestReceiveBuffer(t *testing.T) {
	w := newWorld(t)
	const asked = 128 << 20
	n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_LINK}, asked)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if size, err := n.Buffer(); err != nil || size < asked {
		t.Errorf("asked for %d octets: buffer of %d, %v", asked, size, err)
	}
}
