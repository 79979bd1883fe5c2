package vpp

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// FuzzFrames: cutting a stream into frames takes only whole ones, and never
// asks for less than it has.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, 64))
	f.Add(record(f, "01-handshake", 4).frame)
	f.Add(append(record(f, "01-handshake", 4).frame, 0, 0, 0))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		n, need, err := wholeFrames(b)
		if n < 0 || n > len(b) || err == nil && need <= len(b) && n < len(b) {
			t.Fatalf("%d of %d octets, needs %d, %v", n, len(b), need, err)
		}
		if need > n+frameHeader+maxFrame {
			t.Fatalf("needs %d", need)
		}
		for rest := b[:n]; len(rest) > 0; {
			_, rest = nextFrame(rest)
		}
	})
}

// FuzzCreateReply reads what answers a hello.
func FuzzCreateReply(f *testing.F) {
	f.Add(record(f, "01-handshake", 2).frame[frameHeader:])
	entry := make([]byte, tableEntry)
	copy(entry, "\x00\x17control_ping_51077d14")
	other := make([]byte, tableEntry)
	copy(other, "\x00\x18control_ping_reply_f6b0b8ca")
	small := append(make([]byte, 0, 20+2*tableEntry), 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, 0, 1, 0, 2)
	f.Add(append(append(small, entry...), other...))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, table, err := decodeCreateReply(b)
		if err != nil {
			return
		}
		for m, n := range table.number {
			if n != 0 && table.in(n) == noMessage {
				t.Fatalf("message %d has number %d, which is nobody's", m, n)
			}
		}
	})
}

// FuzzDecode reads every message that VPP sends us, from any octets. What can
// be written again is written as it was read.
func FuzzDecode(f *testing.F) {
	for _, s := range []struct {
		file string
		line int
	}{{"02-interfaces", 140}, {"02-interfaces", 52}, {"02-interfaces", 88}, {"03-addresses", 71}, {"04-routes", 28}, {"04-routes", 174}, {"04-routes", 296},
		{"05-neighbors", 45}, {"07-lcp", 75}, {"08-mpls", 22}, {"08-mpls", 85}} {
		f.Add(record(f, s.file, s.line).frame[frameHeader:])
	}
	// An entry is what is asked for, without the two flags before it.
	entry := encodeMroute(nil, true, dataplane.Table{Family: unix.AF_INET}, 7)[2:]
	f.Add(append(make([]byte, 6), entry...))
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = decodeInterface(p)
		_, _, _ = decodeInterfaceEvent(p)
		_, _ = decodeTable(p)
		_, _ = decodeMPLSTable(p)
		_, _ = decodeSource(p)
		_, _ = decodePair(p)
		if a, err := decodeAddress(p); err == nil && (!a.Prefix.IsValid() || a.Prefix.Addr().Zone() != "") {
			t.Fatalf("address %v", a.Prefix)
		}
		if n, err := decodeNeigh(p); err == nil && !n.Addr.IsValid() {
			t.Fatalf("neighbour %+v", n)
		}
		if k, _, raw, err := decodeRoute(p); err == nil {
			if k.MPLS() || k.Prefix != k.Prefix.Masked() {
				t.Fatalf("route %+v", k)
			}
			checkDecoded(t, k, raw)
		}
		if k, raw, err := decodeMPLSRoute(p); err == nil {
			checkDecoded(t, k, raw)
		}
		if to, paths, err := decodeMroute(p); err == nil && (len(paths) > 255 || to.IsValid() && to.Addr().Zone() != "") {
			t.Fatalf("group %v with %d paths", to, len(paths))
		}
	})
}

// checkDecoded: what paths we would send again comes back as the same set.
func checkDecoded(t *testing.T, k dataplane.RouteKey, raw []byte) {
	s, err := decodePaths(raw)
	if err != nil {
		return
	}
	bl := encodePaths(s, protoOf(k))
	if bl.err != nil {
		return
	}
	if heaviest(s) > maxWeight {
		return // scaled down
	}
	back, err := decodePaths(asDumped(bl.b))
	if err != nil || !back.Equal(s) {
		t.Fatalf("%+v is written and comes back as %+v, %v", s, back, err)
	}
}

func heaviest(s *dataplane.PathSet) (w uint16) {
	for _, p := range s.Paths {
		w = max(w, p.Weight)
	}
	return w
}

// FuzzSession feeds a session that waits for answers with any messages: it
// takes them or ends, and keeps its books.
func FuzzSession(f *testing.F) {
	reply := func(m message, context uint32) []byte {
		p := answerFrame(m, context, 0, 0)
		return append(binary.BigEndian.AppendUint16(nil, uint16(len(p))), p...)
	}
	f.Add(append(reply(routeAddDelReply, 1), reply(routeAddDelReply, 2)...))
	f.Add(append(reply(routeAddDelReply, 3), reply(routeAddDelReply, 3)...))
	f.Add(append(reply(controlPingReply, 5), reply(swInterfaceEvent, 5)...))
	f.Add(reply(routeDetails, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := quietSession()
		ba := &batch{Batch: dataplane.Batch{Ops: make([]dataplane.Op, 3)}}
		for i := range ba.Ops {
			ba.Ops[i] = dataplane.Op{Kind: dataplane.RouteDel, Route: dataplane.RouteKey{Prefix: pfx("10.0.0.0/8")}}
			if refused, err := s.route(ba, i, &ba.Ops[i]); refused != nil || err != nil {
				t.Fatal(refused, err)
			}
		}
		_, context, err := s.begin(routeDump, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		s.forget(context)
		s.collect = &collect{context: context, details: routeDetails, each: func(p []byte) error { _, _, _, err := decodeRoute(p); return err }}
		for len(b) >= 2 {
			n := min(int(binary.BigEndian.Uint16(b)), len(b)-2)
			if s.frame(b[2:2+n]) != nil {
				return
			}
			b = b[2+n:]
			waiting := 0
			for _, e := range s.ring {
				if e.context != 0 {
					waiting++
				}
			}
			if waiting != s.waiting || ba.left != waiting || len(s.world.dirty) > maxDirty {
				t.Fatalf("%d wait, counted %d, of the batch %d", waiting, s.waiting, ba.left)
			}
		}
	})
}
