package vpptest

import (
	"encoding/hex"
	"testing"
)

// FuzzServer: whatever a client sends, the server goes on.
func FuzzServer(f *testing.F) {
	for _, name := range []string{"02-interfaces", "04b-multipath-edges", "05-neighbors", "06-subif-loopback", "08-mpls", "10b-truncated"} {
		var all []byte
		for _, l := range readRecordingF(f, name) {
			if b, err := hex.DecodeString(l.Hex); err == nil && l.Dir == "c2s" && len(all)+len(b) < 4000 {
				all = append(all, b...)
			}
		}
		f.Add(all)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Server{opt: Options{Lenient: true, Taps: 16, Fail: func(string, ...any) {}}, numbers: map[string]uint16{}, conns: map[*conn]bool{}, byID: map[uint32]*conn{}, counts: map[string]int{}}
		s.number()
		s.st = newState(s)
		c := &conn{s: s}
		s.conns[c] = true
		c.serve(b)
	})
}
