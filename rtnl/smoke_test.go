package rtnl

import (
	"context"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSmoke(t *testing.T) {
	ns, err := NewNS()
	if err != nil {
		t.Skip(err)
	}
	defer ns.Close()
	c, err := DialNS(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, err := Subscribe(ns.FD(), []uint32{unix.RTNLGRP_LINK}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	r := LinkRequest{Link: Link{Name: "br0", Index: 77, Kind: "bridge", Flags: unix.IFF_UP, Bridge: Bridge{ForwardDelay: 400, AgeingTime: 10000}}, Set: LinkName | LinkUp | BridgeForwardDelay | BridgeAgeingTime}
	errs := c.Execute(context.Background(), [][]byte{
		AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &r),
		AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &r),
	})
	t.Log(errs)
	b, err := n.Receive(context.Background())
	t.Log(len(b), err)
	res, err := c.Dump(context.Background(), AppendDumpRequest(nil, KindLink, 0, Filter{}), func(b []byte) error {
		for len(b) > 0 {
			h, body, rest, err := NextMessage(b)
			if err != nil {
				return err
			}
			b = rest
			if h.Type != unix.RTM_NEWLINK {
				continue
			}
			var l Link
			err = DecodeLink(body, &l)
			t.Logf("%+v %v", l, err)
		}
		return nil
	})
	t.Log(res, err)
}
