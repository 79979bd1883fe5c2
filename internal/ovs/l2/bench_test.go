package l2

import (
	"testing"
	"time"
)

// BenchmarkPacket decides about frames of known stations, each the first of its
// pair, as in a storm of new flows: ns for one frame.
func BenchmarkPacket(b *testing.B) {
	w := newWorld(Options{MaxFlows: 1 << 30, MaxActions: 1 << 30, MaxStations: 1 << 30})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}, 3: {Mode: Access, Tag: 5}})
	for i := range 1000 {
		w.b.Packet(0, Key{Port: uint32(1 + i%2), Src: mac(i), Dst: broadcast})
	}
	w.b.Changes()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%(500*500) == 0 {
			b.StopTimer()
			w.b.BeginPoll()
			w.b.EndPoll(0, true)
			w.b.BeginPoll()
			w.b.EndPoll(0, true) // every flow is gone from the datapath
			b.StartTimer()
		}
		k := Key{Port: 1, Src: mac(2 * (i % 500)), Dst: mac(2*(i/500%500) + 1)}
		if v := w.b.Packet(time.Second, k); len(v.Out) != 1 || !v.Install {
			b.Fatal(k)
		}
	}
}

// BenchmarkPoll reads 65,536 flows that are all used and stay: ns for all.
func BenchmarkPoll(b *testing.B) {
	w := newWorld(Options{})
	w.setPorts(map[uint32]VLAN{1: {}, 2: {}})
	var keys []Key
	for i := range 256 {
		w.b.Packet(0, Key{Port: 1, Src: mac(i), Dst: lldp})
		w.b.Packet(0, Key{Port: 1, Src: mac(i), Dst: mac(9999)})
		w.b.Packet(0, Key{Port: 2, Src: mac(1000 + i), Dst: mac(9999)})
	}
	for i := range 256 {
		for j := range 256 {
			k := Key{Port: 1, Src: mac(i), Dst: mac(1000 + j)}
			if w.b.Packet(0, k).Install {
				keys = append(keys, k)
			}
		}
	}
	now := time.Second
	for b.Loop() {
		now += time.Second
		w.b.BeginPoll()
		for _, k := range keys {
			w.b.Flow(Found{Key: k, Used: now, HasUsed: true})
		}
		w.b.EndPoll(now, true)
	}
	if n := w.b.Stats().Flows; n != len(keys) || n < 65000 {
		b.Fatalf("%d flows, %d keys", n, len(keys))
	}
}
