package ovs

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/rtnl"
)

// offline is a client that knows its families and has no sockets.
func offline() *Client {
	c := &Client{}
	c.ids.Store(&families{datapath: odp.Family{ID: 36}, vport: odp.Family{ID: 37}, flow: odp.Family{ID: 38}, packet: odp.Family{ID: 39}})
	return c
}

// upcallDatagram is an upcall as the kernel sends it.
func upcallDatagram() []byte {
	k := odp.FlowKey{Has: odp.HasRecircID | odp.HasDPHash | odp.HasPriority | odp.HasInPort | odp.HasSkbMark | odp.HasCTState | odp.HasCTZone |
		odp.HasCTMark | odp.HasCTLabels | odp.HasEthernet | odp.HasEtherType | odp.HasARP, InPort: 1, EthSrc: macA, EthDst: macB, EtherType: 0x0806}
	b := odp.AppendExecute(nil, 39, 0, &odp.ExecuteRequest{Datapath: 5, Packet: frame(macA, macB, 0x0806, 42), RawKey: odp.AppendKey(nil, &k), Hash: 7})
	b[unix.SizeofNlMsghdr] = odp.CmdMiss
	return b
}

// TestDatagram holds what becomes of what the socket gets.
func TestDatagram(t *testing.T) {
	u := &Upcalls{c: offline()}
	var packets, refused, bad int
	h := UpcallHandler{
		Upcall: func(up *odp.Upcall) {
			packets++
			if up.Cmd != odp.CmdMiss || up.Datapath != 5 || up.Key.EthSrc != macA || len(up.Packet) != 42 || up.Hash != 7 {
				t.Errorf("%+v", up)
			}
		},
		Refused: func(seq uint32, errno unix.Errno) {
			refused++
			if seq != 9 || errno != unix.EINVAL {
				t.Errorf("refused %d: %v", seq, errno)
			}
		},
		Bad: func(error) { bad++ },
	}
	one := upcallDatagram()
	both := rtnl.AppendError(append([]byte{}, one...), 9, int(unix.EINVAL), rtnl.Header{}, "no")
	both = rtnl.AppendError(both, 10, 0, rtnl.Header{}, "")
	var up odp.Upcall
	u.datagram(append(both, one...), &up, &h)
	u.datagram(one[:len(one)-3], &up, &h)
	if packets != 2 || refused != 1 || bad != 1 || u.Refused() != 1 {
		t.Errorf("%d packets, %d refusals, %d bad", packets, refused, bad)
	}
	binary.NativeEndian.PutUint16(one[4:], 77) // of another family
	u.datagram(one, &up, &h)
	if packets != 2 || bad != 1 {
		t.Errorf("%d packets, %d bad", packets, bad)
	}
}

// FuzzDatagram takes anything for a datagram of the kernel.
func FuzzDatagram(f *testing.F) {
	f.Add(upcallDatagram())
	f.Add(rtnl.AppendError(nil, 9, 22, rtnl.Header{}, "no"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u := &Upcalls{c: offline()}
		var up odp.Upcall
		n := 0
		u.datagram(b, &up, &UpcallHandler{Upcall: func(up *odp.Upcall) {
			n++
			if len(up.Packet) > len(b) || len(up.RawKey) > len(b) {
				t.Errorf("%d octets of packet in %d", len(up.Packet), len(b))
			}
		}})
		if n*24 > len(b) {
			t.Errorf("%d packets in %d octets", n, len(b))
		}
		_ = eachMessage(b, func(body []byte) error { _, err := odp.ParsePort(body); return err })
	})
}

// BenchmarkUpcall decodes an upcall of an ARP request: 224 octets.
func BenchmarkUpcall(b *testing.B) {
	u := &Upcalls{c: offline()}
	var up odp.Upcall
	n := 0
	h := UpcallHandler{Upcall: func(*odp.Upcall) { n++ }}
	d := upcallDatagram()
	b.ReportAllocs()
	b.SetBytes(int64(len(d)))
	for b.Loop() {
		u.datagram(d, &up, &h)
	}
	if n == 0 {
		b.Fatal("no packet")
	}
}

// BenchmarkAnswer encodes what answers an upcall: the flow, with the key as it
// came, and the packet.
func BenchmarkAnswer(b *testing.B) {
	d := upcallDatagram()
	var up odp.Upcall
	if err := up.Parse(d[unix.SizeofNlMsghdr:]); err != nil {
		b.Fatal(err)
	}
	r := l2(5, 1, 2, up.Key.EthSrc, up.Key.EthDst)
	for _, raw := range []bool{true, false} {
		name := "flow"
		if r.RawKey = nil; raw {
			r.RawKey, name = up.RawKey, "flow with the key as it came"
		}
		b.Run(name, func(b *testing.B) {
			var out []byte
			b.ReportAllocs()
			for b.Loop() {
				out = odp.AppendFlow(out[:0], 38, odp.CmdNew, 0, &r)
			}
		})
	}
	b.Run("packet", func(b *testing.B) {
		e := odp.ExecuteRequest{Datapath: 5, Packet: up.Packet, RawKey: up.RawKey, Actions: r.Actions, Hash: up.Hash}
		var out []byte
		b.ReportAllocs()
		for b.Loop() {
			out = odp.AppendExecute(out[:0], 39, 0, &e)
		}
	})
}

// BenchmarkFlow decodes a flow as a dump shows it.
func BenchmarkFlow(b *testing.B) {
	r := l2(5, 1, 2, macA, macB)
	body := odp.AppendFlow(nil, 38, odp.CmdNew, 0, &r)[unix.SizeofNlMsghdr:]
	var f odp.Flow
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}
