package kswitch

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/l2"
	"netbraid/internal/ovs/odp"
)

// BenchmarkFrame takes an upcall apart, decides, and writes the requests to
// execute and to put the flow, without the kernel: ns for one frame.
func BenchmarkFrame(b *testing.B) {
	p := &plane{log: discard, fam: families{flow: 20, packet: 22}, dp: 4, bridge: l2.New(l2.Options{}), tunnels: newTunnels(), w: &writer{tunnels: newTunnels()}}
	p.bridge.SetPorts([]l2.Port{{Number: 1}, {Number: 2}})
	upcall := func(in uint32, src, dst l2.MAC) []byte {
		m := odp.AppendExecute(nil, 22, 0, &odp.ExecuteRequest{Datapath: 4, Packet: make([]byte, 98), RawKey: odp.AppendKey(nil, &odp.FlowKey{
			Has:    odp.HasDPHash | odp.HasRecircID | odp.HasPriority | odp.HasInPort | odp.HasSkbMark | odp.HasEthernet | odp.HasEtherType,
			InPort: in, EthSrc: odp.MAC(src), EthDst: odp.MAC(dst), EtherType: 0x88b5})})
		m[unix.SizeofNlMsghdr] = odp.CmdMiss
		return m[unix.SizeofNlMsghdr:]
	}
	var u odp.Upcall
	p.frame(0, &u, upcall(2, mac(2), mac(9)))
	body := upcall(1, mac(1), mac(2))
	b.ReportAllocs()
	for b.Loop() {
		p.frame(time.Second, &u, body)
		if len(p.w.buf) == 0 {
			b.Fatal("no requests")
		}
		p.w.buf = p.w.buf[:0]
	}
}
