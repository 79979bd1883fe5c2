package iface

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/proto"
)

// fakeDevices is one device in the state that a test wants.
type fakeDevices struct {
	present, up, link bool
	claims            int
}

func (f *fakeDevices) Claim(string, string) bool {
	if f.present && f.claims == 0 {
		f.claims++
	}
	return f.present
}
func (f *fakeDevices) Release(string, string) { f.claims = 0 }
func (f *fakeDevices) State(string) (present, up, link bool, ifindex uint32) {
	return f.present, f.present && f.up && f.claims > 0, f.present && f.up && f.link, 7
}

// stubborn fails every setup, or never finishes what it is told.
type stubborn struct {
	setups int
	fail   bool
}

func (s *stubborn) Handle(in proto.Input) []proto.Output {
	switch in.Kind {
	case proto.Setup:
		s.setups++
		if s.fail {
			return []proto.Output{{Kind: proto.Failed, Code: "NO_CARRIER_PIGEON", Message: "it flew away"}}
		}
	case proto.Teardown:
		return []proto.Output{{Kind: proto.Finished}}
	}
	return nil
}

func newTest(h proto.Handler, d *fakeDevices, now time.Time) *Machine {
	m := New(&config.Interface{Name: "x", Proto: "test", Device: "eth0", Auto: true, ForceLink: true},
		proto.Spec{Name: "test", New: func() proto.Handler { return h }}, d, rand.New(rand.NewPCG(1, 1)))
	m.SetDevice(now, "eth0", false)
	return m
}

// TestFailingSetupBacksOff: netifd tries 11 times in 0.6 s; we wait 1 s,
// doubling to 60 s, within 25 %, and say what failed, once.
func TestFailingSetupBacksOff(t *testing.T) {
	h := &stubborn{fail: true}
	d := &fakeDevices{present: true, up: true, link: true}
	now := time.Unix(100, 0)
	m := newTest(h, d, now)
	base := time.Second
	for try := 1; try <= 12; try++ {
		if h.setups != try {
			t.Fatalf("%d setups after try %d", h.setups, try)
		}
		if m.State() != Down || len(m.Errors()) != 1 || m.Errors()[0].Code != "NO_CARRIER_PIGEON" {
			t.Fatalf("state %s, errors %+v", m.State(), m.Errors())
		}
		for range 50 {
			m.Check(now) // triggers do not make it try earlier
		}
		at := m.Deadline(now)
		wait := at.Sub(now)
		if wait < base*3/4 || wait > base*5/4 {
			t.Fatalf("try %d: the next is in %s, not about %s", try, wait, base)
		}
		base = min(base*2, 60*time.Second)
		now = at
		m.Tick(now)
	}
	// `ifup` forgets the delay and the errors; success resets the delay.
	h.fail = false
	m.CommandUp(now)
	if m.State() != SettingUp || len(m.Errors()) != 0 {
		t.Fatalf("after ifup: %s, %+v", m.State(), m.Errors())
	}
}

// TestMoves walks through every move of the table and asserts the state, the
// claim and what is made known.
func TestMoves(t *testing.T) {
	h := &stubborn{}
	d := &fakeDevices{present: true, up: true, link: true}
	now := time.Unix(100, 0)
	m := newTest(h, d, now)
	expect := func(step string, s State, claims int, notices ...Notice) {
		t.Helper()
		got := m.Notices()
		if m.State() != s || d.claims != claims || len(got) != len(notices) {
			t.Fatalf("%s: state %s, %d claims, notices %v; want %s, %d, %v", step, m.State(), d.claims, got, s, claims, notices)
		}
		for i := range got {
			if got[i] != notices[i] {
				t.Fatalf("%s: notices %v, want %v", step, got, notices)
			}
		}
	}
	m.Check(now)
	expect("device there", SettingUp, 1)
	m.Settled(now)
	expect("settled before anything is offered", SettingUp, 1)
	offer := &proto.Output{Kind: proto.Offered, Offer: &proto.Offer{}}
	m.output(now, offer)
	expect("offered", SettingUp, 1)
	m.Settled(now)
	expect("settled", Up, 1, IfUp)
	m.output(now, offer)
	expect("offered again", Up, 1)
	m.output(now, &proto.Output{Kind: proto.Offered, Offer: &proto.Offer{Static: config.Static{Gateway4: netip.MustParseAddr("10.0.0.1")}}})
	expect("offered otherwise", Up, 1, IfUpdate)
	m.output(now, &proto.Output{Kind: proto.Lost})
	expect("lost", SettingUp, 1, IfDown)
	m.output(now, offer)
	m.Settled(now)
	expect("back", Up, 1, IfUp)
	d.present, d.claims = false, 0 // the graph takes the claims off a device that goes
	m.Check(now)
	expect("device gone", Down, 0, IfDown)
	d.present = true
	m.Check(now)
	m.output(now, offer)
	m.Settled(now)
	expect("device back", Up, 1, IfUp)
	m.CommandDown(now)
	expect("ifdown", Down, 0, IfDown)
	m.Check(now)
	expect("stays down", Down, 0)
	m.CommandUp(now)
	m.output(now, offer)
	m.Settled(now)
	expect("ifup", Up, 1, IfUp)
	if !m.Restart(now) {
		t.Fatal("restart refused")
	}
	expect("restart", SettingUp, 1, IfDown)
	m.output(now, &proto.Output{Kind: proto.Finished})
	expect("the handler ends by itself", Down, 1, IfUpFailed)
	m.Remove(now)
	if !m.Gone {
		t.Error("not gone after Remove")
	}
	expect("removed", Down, 0)
}
