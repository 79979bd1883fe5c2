package kswitch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

func (w *world) portState(bridge, port string) model.SwitchPortState {
	for _, p := range w.state(bridge).Ports {
		if p.Name == port {
			return p
		}
	}
	return model.SwitchPortState{}
}

func (w *world) eventually(what string, f func() bool) {
	w.t.Helper()
	nstest.Eventually(w.t, 10*time.Second, func() string {
		if !f() {
			w.mu.Lock()
			defer w.mu.Unlock()
			return fmt.Sprintf("%s; states %+v", what, w.states)
		}
		return ""
	})
}

// TestPorts adds and removes ports, by configuration and by their devices.
func TestPorts(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	for _, s := range w.stations {
		s.echo(t)
	}
	one, two, three := w.stations[0], w.stations[1], w.stations[2]
	m := w.manager()
	br := w.bridge("br0")
	br.Ports = append(br.Ports[:3:3], model.SwitchPort{Name: "late"}, model.SwitchPort{Name: "int0", Type: "internal", Number: 77},
		model.SwitchPort{Name: "lo"}, model.SwitchPort{Name: "vx", Type: "vxlan"}, model.SwitchPort{Name: "odd", VLANMode: "dot1q-tunnel"})
	m.Set([]model.Switch{br})
	w.settled("br0", 4)
	w.mustPing(one, two)
	w.mustPing(one, three)
	if p := w.portState("br0", "int0"); p.Number != 77 {
		t.Errorf("int0 has number %d, want 77", p.Number)
	}
	for port, why := range map[string]string{"late": "no such device", "lo": "loopback", "vx": "remote_ip", "odd": "vlan_mode"} {
		if p := w.portState("br0", port); !strings.Contains(p.Err, why) {
			t.Errorf("%s: %+v, want an error with %q", port, p, why)
		}
	}
	if log := w.log.String(); strings.Contains(log, "no such device") {
		t.Errorf("what Report has told is logged for each port as well:\n%s", log)
	}

	// A device that comes is taken at once, not with the next retry.
	s4 := w.station(4, "10.0.0.4/24")
	s4.echo(t)
	time.Sleep(4 * time.Second) // the pause has grown
	began := time.Now()
	w.IP("link set p4 name late")
	w.IP("link set late up")
	w.eventually("late is not there", func() bool { return w.portState("br0", "late").Number != 0 })
	if d := time.Since(began); d > time.Second {
		t.Errorf("it took %s", d)
	}
	w.mustPing(one, s4)

	// A device that goes takes its port with it, and one that comes back under
	// its name is a port again.
	w.IP("link del late")
	w.eventually("late is still there", func() bool { p := w.portState("br0", "late"); return p.Number == 0 && p.Err != "" })
	w.Veth("late", "again0", two.NS)
	w.eventually("late does not come back", func() bool { return w.portState("br0", "late").Number != 0 })

	// A port that is not wanted goes, the others do not notice.
	less := w.bridge("br0")
	less.Ports = less.Ports[:2]
	m.Set([]model.Switch{less})
	w.eventually("ports stay", func() bool { return len(w.state("br0").Ports) == 2 })
	w.mustPing(one, two)
	w.mustNotPing(one, three)
	if out, err := w.Try("ip", "link", "show", "int0"); err == nil {
		t.Errorf("int0 is still there: %s", out)
	}
	m.Set([]model.Switch{w.bridge("br0")})
	w.eventually("p3 is not back", func() bool { return w.portState("br0", "p3").Number != 0 })
	w.mustPing(three, one)

	// A renamed device is not the wanted one any more.
	w.IP("link set p3 down")
	w.IP("link set p3 name other")
	w.eventually("p3 is still there", func() bool { return w.portState("br0", "p3").Number == 0 })
	w.IP("link set other name p3")
	w.IP("link set p3 up")
	w.eventually("p3 is not back", func() bool { return w.portState("br0", "p3").Number != 0 })
	w.mustPing(three, one)

	// ovs-dpctl changes the features of what it looks at: they are set back.
	w.Run("ovs-dpctl show")
	w.eventually("the features stay as ovs-dpctl has set them", func() bool {
		s, err := m.Status("br0")
		return err == nil && s.Datapath.Features == features && strings.Contains(w.log.String(), "set back")
	})
	w.IP("link set p1 down") // so that nothing is known
	one.IP("neigh flush dev eth0")
	w.IP("link set p1 up")
	w.mustPing(one, two)

	// Another number: the port is made anew.
	numbered := w.bridge("br0")
	numbered.Ports[2].Number = 500
	m.Set([]model.Switch{numbered})
	w.eventually("p3 does not get number 500", func() bool { return w.portState("br0", "p3").Number == 500 })
	w.mustPing(three, one)

	// Somebody removes the datapath: it is made anew.
	d, err := m.client.Datapath(m.ctx, "br0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.client.DeleteDatapath(m.ctx, d.Index); err != nil {
		t.Fatal(err)
	}
	w.eventually("br0 is not made anew", func() bool {
		s, err := m.Status("br0")
		return err == nil && s.Datapath.Index != d.Index && w.portState("br0", "p3").Number == 500
	})
	w.mustPing(one, two)
	if s, _ := m.Status("br0"); s.Refused != 0 {
		t.Errorf("%d requests refused: %v", s.Refused, s.LastRefusal)
	}
}

// TestForeign holds that what others have made is used where it is as wanted,
// and left alone.
func TestForeign(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t, 3)
	ctx := t.Context()
	others, err := ovs.Open(ctx, w.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer others.Close()
	d, err := others.CreateDatapath(ctx, odp.DatapathRequest{Name: "br1"})
	if err != nil {
		t.Fatal(err)
	}
	m := w.manager()
	br := w.bridge("br0")
	br.Ports = br.Ports[:1]
	m.Set([]model.Switch{br, {Name: "br1"}, {Name: "lo"}, {Name: "br2", STP: true}})
	w.settled("br0", 1)
	for name, why := range map[string]string{"br1": "made by somebody else", "lo": "device of that name", "br2": "stp"} {
		w.eventually(name+" has no error with "+why, func() bool { s := w.state(name); return !s.There && strings.Contains(s.Err, why) })
	}
	mine, err := m.client.Datapath(m.ctx, "br0")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p2", "p3"} {
		if _, err := others.AddPort(ctx, odp.PortRequest{Datapath: mine.Index, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the ports of others do not show", func() bool {
		return w.portState("br0", "p2").Foreign && w.portState("br0", "p3").Foreign
	})
	w.stations[0].echo(t)
	w.mustNotPing(w.stations[1], w.stations[0])
	br.Ports = append(br.Ports[:1:1], model.SwitchPort{Name: "p2"}) // wanted now: it is used
	m.Set([]model.Switch{br, {Name: "br1"}})
	w.eventually("p2 is not used", func() bool { p := w.portState("br0", "p2"); return p.Foreign && p.Number != 0 && p.Err == "" })
	time.Sleep(100 * time.Millisecond)
	w.mustPing(w.stations[1], w.stations[0])
	m.Set(nil)
	time.Sleep(500 * time.Millisecond)
	for _, name := range []string{"br0", "br1"} {
		if _, err := m.client.Datapath(m.ctx, name); err != nil {
			t.Errorf("datapath %s, which has what others made: %v", name, err)
		}
	}
	if _, err := m.client.Ports(m.ctx, d.Index); err != nil {
		t.Error(err)
	}
	// Without what is of others it goes.
	list, err := m.client.Ports(m.ctx, mine.Index)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		if p.Name == "p2" || p.Name == "p3" {
			if err := others.DeletePort(ctx, mine.Index, p.Number); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.eventually("br0 does not go", func() bool {
		_, err := m.client.Datapath(m.ctx, "br0")
		return err != nil
	})
}

// TestManyPorts holds that a thousand ports are made, flooded to, taken over and
// removed.
func TestManyPorts(t *testing.T) {
	vmtest.Require(t)
	const n = 1000
	w := newWorld(t, 2)
	br := w.bridge("br0")
	for i := range n - 2 {
		br.Ports = append(br.Ports, model.SwitchPort{Name: fmt.Sprintf("i%d", i), Type: "internal", Tag: uint16(i % 3)})
	}
	began := time.Now()
	m := w.manager()
	m.Set([]model.Switch{br})
	nstest.Eventually(t, 120*time.Second, func() string {
		if s := w.state("br0"); !s.There || len(s.Ports) != n || s.Ports[n-1].Number == 0 {
			return "not there"
		}
		return ""
	})
	t.Logf("%d ports in %s", n, time.Since(began))
	w.settled("br0", n)
	for _, s := range w.stations {
		s.echo(t)
	}
	w.mustPing(w.stations[0], w.stations[1])
	s, err := m.Status("br0")
	if err != nil || len(s.Ports) != n+1 || s.Refused != 0 {
		t.Errorf("%d ports, %d refused (%v): %v", len(s.Ports), s.Refused, s.LastRefusal, err)
	}
	m.Close()
	began = time.Now()
	next := w.manager()
	next.Set([]model.Switch{br})
	nstest.Eventually(t, 60*time.Second, func() string {
		if s, err := next.Status("br0"); err != nil || !s.Adopted {
			return "not taken over"
		}
		return ""
	})
	t.Logf("taken over in %s", time.Since(began))
	w.mustPing(w.stations[1], w.stations[0])
	began = time.Now()
	next.Set([]model.Switch{w.bridge("br0")})
	nstest.Eventually(t, 120*time.Second, func() string {
		if s := w.state("br0"); len(s.Ports) != 2 {
			return "ports stay"
		}
		return ""
	})
	t.Logf("%d ports removed in %s", n-2, time.Since(began))
	w.mustPing(w.stations[0], w.stations[1])
}
