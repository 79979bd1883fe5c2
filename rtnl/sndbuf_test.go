package rtnl

import (
	"context"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSmallSendBuffer: a batch must fit the send buffer, or the kernel refuses
// all of it.
func TestSmallSendBuffer(t *testing.T) {
	conn := newWorld(t).conn
	conn.SetSendBuffer(4096)
	var msgs [][]byte
	for i := range 500 {
		msgs = append(msgs, AppendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 0, &Route{Family: unix.AF_INET,
			Type: unix.RTN_BLACKHOLE, Table: 254, Protocol: 4, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)}))
	}
	for i, err := range conn.Execute(context.Background(), msgs) {
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
}
