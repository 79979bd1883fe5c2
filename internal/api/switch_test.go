package api

import (
	"strings"
	"testing"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/ubus"
)

// ovsBench has a bridge of Open vSwitch with a port that is there and one that
// is not, and an interface on it.
func ovsBench(t *testing.T) *bench {
	b := newBench(t)
	sw := &model.Switch{Name: "ovs0", Backend: "ovsdb", DatapathType: "netdev", FailMode: "secure", Controllers: []string{"tcp:192.0.2.1:6653"}, RSTP: true, Ageing: 60,
		Ports: []model.SwitchPort{{Name: "eth0", Tag: 10, Trunks: []uint16{20, 30, 31, 32}, VLANMode: "native-tagged"},
			{Name: "vx", Type: "vxlan", Options: []model.KeyValue{{Key: "key", Value: "7"}, {Key: "remote_ip", Value: "192.0.2.7"}}}}}
	b.step(core.Configured{Config: &config.Config{
		Devices: []*config.Device{{Name: "ovs0", Type: config.OpenVSwitch, Ports: []string{"eth0"}, Switch: sw},
			{Name: "vx", Type: config.VPort, Bridge: "ovs0", VPort: &sw.Ports[1]},
			{Name: "ovs0.5", Type: config.VLAN, Parent: "ovs0", VID: 5, Implied: true}},
		Interfaces: []*config.Interface{{Name: "a", Proto: "static", Device: "ovs0", Auto: true}},
	}})
	return b
}

func TestSwitchStatus(t *testing.T) {
	b := ovsBench(t)
	const head = `{"bridges":[{"name":"ovs0","backend":"ovsdb",`
	if got, _ := b.call("netbraid.ovs", "status", nil); !strings.HasPrefix(got, head+`"there":false,"datapath_type"`) {
		t.Errorf("before anything is told: %s", got)
	}
	b.step(core.SwitchChanged{State: model.SwitchState{Name: "ovs0", Backend: "ovsdb", There: true, Err: "ovs-vswitchd does not answer", Ports: []model.SwitchPortState{
		{Name: "eth0", Number: 3}, {Name: "vx", Err: "no route", Foreign: true}}}})
	const ports = `"port_type":"netdev","number":3,"tag":10,"trunks":["20","30-32"],"vlan_mode":"native-tagged"}`
	const vx = `"port_type":"vxlan","number":0,"options":{"key":"7","remote_ip":"192.0.2.7"},"error":"no route","foreign":true}`
	const bridge = `"there":true,"error":"ovs-vswitchd does not answer","datapath_type":"netdev","fail_mode":"secure","controller":["tcp:192.0.2.1:6653"],"rstp":true,"ageing_time":60,`
	want := head + bridge + `"ports":[{"name":"eth0",` + ports + `,{"name":"vx",` + vx + `]}]}`
	for _, args := range []ubus.Table{nil, {{Name: "name", Value: "ovs0"}}} {
		if got, st := b.call("netbraid.ovs", "status", args); got != want || st != ubus.StatusOK {
			t.Errorf("status %v\n%s\nwant\n%s", st, got, want)
		}
	}
	if _, st := b.call("netbraid.ovs", "status", ubus.Table{{Name: "name", Value: "ovs1"}}); st != ubus.StatusNotFound {
		t.Errorf("of a bridge that nobody wants: %v", st)
	}
	got, _ := b.call("network.interface.a", "status", nil)
	for _, e := range []string{`{"subsystem":"openvswitch","code":"SWITCH_FAILED","data":["ovs0"],"message":"ovs-vswitchd does not answer"}`,
		`{"subsystem":"openvswitch","code":"KEY_TAKEN","data":["vx"],"message":"no route"}`} {
		if !strings.Contains(got, e) {
			t.Errorf("the interface does not show %s:\n%s", e, got)
		}
	}
	// As a device; it is not present in this world.
	snap := func(name string) (out string) {
		b.with(func(l *loop) {
			d := SnapshotDevice(l.core, name)
			out = text(typeTail(&d))
		})
		return out
	}
	if got, want := snap("ovs0"), `{"bridge-members":["eth0","vx"],"openvswitch":{"backend":"ovsdb",`+bridge+`"ports":{"eth0":{`+ports+`,"vx":{`+vx+`}}}`; got != want {
		t.Errorf("device status\n%s\nwant\n%s", got, want)
	}
	if got, want := snap("vx"), `{"bridge":"ovs0",`+vx; got != want {
		t.Errorf("device status\n%s\nwant\n%s", got, want)
	}
}

func TestSwitchPorts(t *testing.T) {
	b := ovsBench(t)
	args := func(kv ...any) (out ubus.Table) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, ubus.Field{Name: kv[i].(string), Value: kv[i+1]})
		}
		return out
	}
	const ok = `{"ok":true,"problems":[],"more":0}`
	for _, c := range []struct {
		method string
		args   ubus.Table
		st     ubus.Status
		want   string
	}{
		{"add_port", args("bridge", "ovs0", "port", "in", "port_type", "internal", "tag", int32(4), "trunks", ubus.Array{int32(7), "9"}), ubus.StatusOK, ok},
		{"add_port", args("bridge", "ovs0", "port", "in", "port_type", "internal", "tag", int32(5)), ubus.StatusOK, ok},
		{"add_port", args("bridge", "ovs0", "port", "eth0"), ubus.StatusOK, `"ok":false,"problems":[{"file":"ubus"`},
		{"add_port", args("bridge", "br0", "port", "eth7"), ubus.StatusOK, "there is no device br0 of type openvswitch"},
		{"add_port", args("bridge", "ovs0", "port", "ovs0.5"), ubus.StatusOK, "which it is built on"},
		{"add_port", args("bridge", "ovs0"), ubus.StatusInvalidArgument, ""},
		{"add_port", args("bridge", "ovs0", "port", "x", "options", ubus.Table{}), ubus.StatusInvalidArgument, ""},
		{"del_port", args("bridge", "ovs0", "port", "eth0"), ubus.StatusNotFound, ""},
		{"del_port", args("bridge", "ovs9", "port", "in"), ubus.StatusNotFound, ""},
	} {
		if got, st := b.call("netbraid.ovs", c.method, c.args); st != c.st || !strings.Contains(got, c.want) {
			t.Errorf("%s %s: %v %s, want %v %s", c.method, text(c.args), st, got, c.st, c.want)
		}
	}
	if got, _ := b.call("netbraid.ovs", "status", nil); !strings.Contains(got, `{"name":"in","port_type":"internal","number":0,"tag":5}`) {
		t.Errorf("the port is not there: %s", got)
	}
	if _, st := b.call("netbraid.ovs", "del_port", args("bridge", "ovs0", "port", "in")); st != ubus.StatusOK {
		t.Error(st)
	}
	if got, _ := b.call("netbraid.ovs", "status", nil); strings.Contains(got, `"in"`) {
		t.Errorf("the port is there still: %s", got)
	}
}
