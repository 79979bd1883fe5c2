package vpp_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
)

// TestLook: what VPP has is seen, and VPP is asked for nothing that changes it:
// no FIB source is made, no events are asked for.
func TestLook(t *testing.T) {
	s := vpptest.Start(t, vpptest.Options{})
	phy := s.AddPhy("phy0", [6]byte{2, 0xfe, 0, 0, 0, 1}, 1500)
	o := vpp.Options{Socket: s.Socket(), Log: slog.New(slog.DiscardHandler)}
	look := func() dataplane.Seen {
		t.Helper()
		seen, err := vpp.Look(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	if seen := look(); !strings.HasPrefix(seen.Version, "VPP ") || seen.Interface("phy0") == nil || len(seen.Pairs) != 0 {
		t.Errorf("%+v", seen)
	}
	for _, name := range []string{"fib_source_add", "want_interface_events", "want_ip6_ra_events"} {
		if n := s.Count(name); n != 0 {
			t.Errorf("%s was sent %d times", name, n)
		}
	}
	u := newUser(t, s.Socket(), nil)
	u.up()
	u.must(dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", HostPort: dataplane.NoIndex}})
	seen := look()
	if p := seen.Pair(phy); p == nil || p.HostName != "e0" || p.NetNS != "" {
		t.Errorf("pairs %+v", seen.Pairs)
	}
	if port := seen.At(seen.Pairs[0].HostPort); port == nil || !port.Companion {
		t.Errorf("the dataplane's end is %+v", port)
	}
	s.Mute(true)
	ctx, end := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer end()
	if _, err := vpp.Look(ctx, o); err == nil || !strings.Contains(err.Error(), "has not answered in time") {
		t.Error(err)
	}
	s.Mute(false)
	s.Down()
	if _, err := vpp.Look(t.Context(), o); err == nil || !strings.Contains(err.Error(), "is VPP running") {
		t.Error(err)
	}
}
