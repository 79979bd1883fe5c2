package iface

import (
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/proto"
)

// slow offers at once and finishes when it is told to.
type slow struct {
	torn int
	deaf bool
}

func (s *slow) Handle(in proto.Input) []proto.Output {
	switch in.Kind {
	case proto.Setup:
		return []proto.Output{{Kind: proto.Offered, Offer: &proto.Offer{}}}
	case proto.Teardown:
		s.torn++
	case proto.Message:
		if !s.deaf {
			return []proto.Output{{Kind: proto.Finished}}
		}
	}
	return nil
}

// TestReconfigureWaitsForTeardown: a restart by a reload lets the old handler finish.
func TestReconfigureWaitsForTeardown(t *testing.T) {
	now := time.Unix(100, 0)
	h := &slow{}
	m := newTest(h, &fakeDevices{present: true, up: true, link: true}, now)
	m.Check(now)
	m.Settled(now)
	if m.State() != Up {
		t.Fatal(m.State())
	}
	c := &config.Interface{Name: "x", Proto: "new", Device: "eth0", Auto: true, ForceLink: true}
	m.Reconfigure(now, c, proto.Spec{Name: "new", New: func() proto.Handler { return &slow{deaf: true} }}, false)
	m.Check(now)
	if m.State() != TearingDown {
		t.Fatal(m.State())
	}
	m.Deliver(now, "the old handler has finished")
	m.Settled(now)
	if m.State() != Up || h.torn != 1 {
		t.Fatalf("interface is %s, torn down %d times", m.State(), h.torn)
	}
}
