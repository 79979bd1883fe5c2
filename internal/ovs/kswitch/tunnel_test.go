package kswitch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

func TestParseTunnel(t *testing.T) {
	opts := func(s string) (list []model.KeyValue) {
		for _, f := range strings.Fields(s) {
			k, v, _ := strings.Cut(f, "=")
			list = append(list, model.KeyValue{Key: k, Value: v})
		}
		return list
	}
	for _, c := range []struct {
		typ, options string
		number       uint32
		vport, err   string
	}{
		{typ: "vxlan", options: "remote_ip=192.0.2.1", vport: "vxlan_sys_4789"},
		{typ: "vxlan", options: "remote_ip=192.0.2.1 dst_port=8472 key=7 ttl=9 tos=0x10 csum=true df_default=false", vport: "vxlan_sys_8472"},
		{typ: "geneve", options: "remote_ip=2001:db8::1 local_ip=2001:db8::2", vport: "genev_sys_6081"},
		{typ: "gre", options: "remote_ip=192.0.2.1", vport: "gre_sys"},
		{typ: "vxlan", err: "remote_ip"},
		{typ: "vxlan", options: "remote_ip=host", err: "remote_ip=host"},
		{typ: "vxlan", options: "remote_ip=flow", err: "remote_ip=flow"},
		{typ: "vxlan", options: "remote_ip=192.0.2.1 key=16777216", err: "VNI"},
		{typ: "vxlan", options: "remote_ip=192.0.2.1 dst_port=0", err: "UDP"},
		{typ: "gre", options: "remote_ip=192.0.2.1 dst_port=7", err: "UDP"},
		{typ: "gre", options: "remote_ip=192.0.2.1 local_ip=2001:db8::1", err: "families"},
		{typ: "gre", options: "remote_ip=192.0.2.1 ttl=0", err: "ttl=0"},
		{typ: "gre", options: "remote_ip=192.0.2.1 exts=gbp", err: "exts"},
		{typ: "gre", options: "remote_ip=192.0.2.1", number: 4, err: "number"},
		{typ: "stt", options: "remote_ip=192.0.2.1", err: "stt"},
	} {
		w, v, err := checkPort(&model.SwitchPort{Name: "t0", Type: c.typ, Options: opts(c.options), Number: c.number})
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s %s: %v, want an error with %q", c.typ, c.options, err, c.err)
			}
		case err != nil || w.vport != c.vport || v.name != c.vport || w.tunnel == nil:
			t.Errorf("%s %s: %+v, %v", c.typ, c.options, w, err)
		}
	}
}

// TestTunnels connects two switches in two namespaces by tunnels of each type,
// and one of them to a third one by a tunnel that shares the port: stations
// behind them reach each other, the flows are used, and a process that takes
// over knows them.
func TestTunnels(t *testing.T) {
	vmtest.Require(t)
	for _, c := range []struct{ typ, extra string }{{"vxlan", "7"}, {"geneve", "8"}, {"gre", "9"}} {
		t.Run(c.typ, func(t *testing.T) {
			hub, spokes := tunnelWorlds(t, c.typ, c.extra)
			m := hub.manager2()
			a, b, d := hub.stations[0], spokes[0].stations[0], spokes[1].stations[0]
			for _, s := range []*station{a, b, d} {
				s.echo(t)
			}
			hub.mustPing(a, b)
			hub.mustPing(a, d)
			hub.mustPing(b, d)
			before, err := m.Status("br0")
			if err != nil {
				t.Fatal(err)
			}
			sock := a.socket(t, 0)
			for range 50 {
				if _, ok := a.ping(sock, b, time.Second); !ok {
					t.Error("no answer")
				}
			}
			s, err := m.Status("br0")
			if err != nil || s.Upcalls-before.Upcalls > 3 || s.Refused != 0 || s.ForeignFlows != 0 {
				t.Errorf("%d upcalls for 100 frames, %d refused (%v), %d flows of others; %v", s.Upcalls-before.Upcalls, s.Refused, s.LastRefusal, s.ForeignFlows, err)
			}
			m.Close()
			next := hub.manager2()
			nstest.Eventually(t, 5*time.Second, func() string {
				if s, err = next.Status("br0"); err != nil || !s.Adopted {
					return "not taken over"
				}
				return ""
			})
			if s.ForeignFlows != 0 || s.Switch.Flows < 4 {
				t.Errorf("%d flows taken over, %d left as of others", s.Switch.Flows, s.ForeignFlows)
			}
			hub.mustPing(a, b)
			if s, err = next.Status("br0"); err != nil || s.Upcalls > 2 {
				t.Errorf("%d upcalls after the take-over; %v", s.Upcalls, err)
			}
		})
	}
}

// tunnelWorlds makes a hub with tunnels to two spokes, all over one network.
func tunnelWorlds(t *testing.T, typ, key string) (hub *tunnelWorld, spokes []*tunnelWorld) {
	under := nstest.New(t)
	under.IP("link add lan type bridge")
	under.IP("link set lan up")
	all := []*tunnelWorld{}
	for i := range 3 {
		w := &tunnelWorld{world: newWorld(t, 0)}
		w.station(i+1, fmt.Sprintf("10.0.0.%d/24", i+1))
		port := fmt.Sprintf("u%d", i)
		under.Veth(port, "under", w.NS)
		under.IP("link set " + port + " master lan")
		under.IP("link set " + port + " up")
		w.IP(fmt.Sprintf("addr add 192.0.2.%d/24 dev under", i+1))
		w.IP("link set lo up")
		all = append(all, w)
	}
	tun := func(name string, to int) model.SwitchPort {
		return model.SwitchPort{Name: name, Type: typ, Options: []model.KeyValue{
			{Key: "key", Value: key}, {Key: "remote_ip", Value: fmt.Sprintf("192.0.2.%d", to)}}}
	}
	for i, w := range all {
		w.br = w.bridge("br0")
		if i == 0 {
			w.br.Ports = append(w.br.Ports, tun("t2", 2), tun("t3", 3))
		} else {
			w.br.Ports = append(w.br.Ports, tun("t1", 1))
		}
	}
	for _, w := range all[1:] {
		w.manager2()
	}
	return all[0], all[1:]
}

// tunnelWorld is a world with a bridge.
type tunnelWorld struct {
	*world
	br model.Switch
}

// manager2 starts a manager that has the bridge.
func (w *tunnelWorld) manager2() *Manager {
	w.t.Helper()
	m := w.manager()
	w.mu.Lock()
	clear(w.states)
	w.mu.Unlock()
	m.Set([]model.Switch{w.br})
	w.settled("br0", len(w.br.Ports))
	return m
}
