package kswitch

import (
	"fmt"
	"testing"

	"netbraid/internal/model"
	"netbraid/internal/ovs/l2"
	"netbraid/internal/vmtest"
)

// TestVLANs sends frames with and without tags into ports of every mode, each
// twice to the same station, the second time through a flow: they arrive where
// they should, with the tags that they should have.
func TestVLANs(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 6)
	br := w.bridge("br0")
	br.Ports[0].Tag = 10
	br.Ports[1].Tag = 20
	br.Ports[2].Trunks = []uint16{10, 20}
	br.Ports[3].Tag, br.Ports[3].VLANMode = 10, "native-untagged"
	br.Ports[4].Tag, br.Ports[4].VLANMode = 20, "native-tagged"
	// Port 6 is a trunk of all VLANs.
	m := w.manager()
	m.Set([]model.Switch{br})
	w.settled("br0", 6)
	var taps []*tap
	for _, s := range w.stations {
		taps = append(taps, s.tap(t))
	}
	q := func(tci uint16) l2.Tag { return l2.Tag{TPID: 0x8100, TCI: tci | l2.TCIPresent} }
	ad := func(tci uint16) l2.Tag { return l2.Tag{TPID: 0x88a8, TCI: tci | l2.TCIPresent} }
	tags := func(t ...l2.Tag) []l2.Tag { return t }
	number := uint32(0)
	for _, c := range []struct {
		in   int
		tags []l2.Tag
		want map[int][]l2.Tag // port → tags
	}{
		{1, nil, map[int][]l2.Tag{3: tags(q(10)), 4: nil, 5: tags(q(10)), 6: tags(q(10))}},
		{1, tags(q(10)), nil}, // an access port takes no tags,
		{1, tags(q(3 << 13)), map[int][]l2.Tag{3: tags(q(3<<13 | 10)), 4: nil, 5: tags(q(3<<13 | 10)), 6: tags(q(3<<13 | 10))}}, // but priorities
		{2, nil, map[int][]l2.Tag{3: tags(q(20)), 4: tags(q(20)), 5: tags(q(20)), 6: tags(q(20))}},
		{3, nil, nil}, // VLAN 0 is not among its trunks
		{3, tags(q(10)), map[int][]l2.Tag{1: nil, 4: nil, 5: tags(q(10)), 6: tags(q(10))}},
		{3, tags(q(30)), nil},
		{4, nil, map[int][]l2.Tag{1: nil, 3: tags(q(10)), 5: tags(q(10)), 6: tags(q(10))}},
		{5, nil, map[int][]l2.Tag{2: nil, 3: tags(q(20)), 4: tags(q(20)), 6: tags(q(20))}},
		{5, tags(q(20)), map[int][]l2.Tag{2: nil, 3: tags(q(20)), 4: tags(q(20)), 6: tags(q(20))}},
		{6, nil, map[int][]l2.Tag{4: nil, 5: nil}}, // VLAN 0, which ports without trunks carry too
		{6, tags(q(30)), map[int][]l2.Tag{4: tags(q(30)), 5: tags(q(30))}},
		{6, tags(ad(10)), map[int][]l2.Tag{1: nil, 3: tags(ad(10)), 4: nil, 5: tags(ad(10))}},
		{6, tags(ad(10), q(77)), map[int][]l2.Tag{1: tags(q(77)), 3: tags(ad(10), q(77)), 4: tags(q(77)), 5: tags(ad(10), q(77))}},
		{6, tags(q(20), q(77)), map[int][]l2.Tag{2: tags(q(77)), 3: tags(q(20), q(77)), 4: tags(q(20), q(77)), 5: tags(q(20), q(77))}},
	} {
		for pass := range 2 {
			number++
			taps[c.in-1].send(t, frameOf(mac(uint32(c.in)), broadcast, c.tags, number))
			w.eventually("a frame is missing", func() bool {
				s, err := m.Status("br0")
				return err == nil && s.Datapath.Hit+s.Upcalls == uint64(number)
			})
			for port := 1; port <= 6; port++ {
				if port == c.in {
					continue
				}
				want, isWanted := c.want[port]
				if !isWanted {
					continue
				}
				got, ok := taps[port-1].next()
				if !ok || got.number != number || fmt.Sprint(got.tags) != fmt.Sprint(want) {
					t.Errorf("%d %v, pass %d: port %d got %+v, %v; want tags %v", c.in, c.tags, pass, port, got, ok, want)
				}
			}
		}
	}
	// What should go nowhere went nowhere: nothing is left in any queue.
	for i, c := range taps {
		if got, ok := c.next(); ok {
			t.Errorf("port %d got %+v besides", i+1, got)
		}
	}
	s, err := m.Status("br0")
	if err != nil || s.Refused != 0 || s.Datapath.Hit != uint64(number)/2 {
		t.Errorf("refused %d (%v), hits %d: flows of tagged frames are not used; %v", s.Refused, s.LastRefusal, s.Datapath.Hit, err)
	}
}
