package capture

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/ubus"
)

// What callers add at run time, on the real kernel over the real bus. netifd
// does the same unless a test says otherwise.

const runtimeConfig = `
config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth0'
config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
config interface 'wan'
	option device 'eth1'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option gateway '203.0.113.1'
config interface 'plug'
	option proto 'static'
	option ipaddr '10.8.0.1/24'
`

func runtimeWorld(t *testing.T, text string) *world {
	w := newWorld(t, 6, nil)
	w.config([]byte(text))
	w.start()
	return w
}

func (w *world) json(want ubus.Status, path, method, args string) string {
	w.t.Helper()
	t := w.call(want, path, method, fromJSON(w.t, []byte(args)))
	if t == nil {
		return ""
	}
	return show(t)
}

// until waits for a condition; it says what is missing.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	nstest.Eventually(w.t, 5*time.Second, func() string {
		if !ok() {
			return what
		}
		return ""
	})
}

func (w *world) up(name string) bool {
	st, code := w.try("network.interface."+name, "status", nil)
	up, _ := st.Bool("up")
	return code == ubus.StatusOK && up
}

func (w *world) exists(name string) bool {
	_, code := w.try("network.interface."+name, "status", nil)
	return code == ubus.StatusOK
}

func (w *world) addr(dev, addr string) bool {
	return strings.Contains(w.ns.IP("-o addr show"), dev+"    inet "+addr)
}

func (w *world) master(dev string) string {
	return after(strings.Fields(w.ns.IP("-o link show dev "+dev)), "master")
}

func (w *world) reloadNow() {
	w.t.Helper()
	w.call(ubus.StatusOK, "network", "reload", nil)
	time.Sleep(200 * time.Millisecond)
}

func TestAddDynamic(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	const dyn = `{"name":"dyn","proto":"static","device":"@lan","ipaddr":["10.77.0.1/24"],"metric":7}`
	w.json(ubus.StatusOK, "network", "add_dynamic", dyn)
	w.until("dyn is not up", func() bool { return w.up("dyn") && w.addr("br-lan", "10.77.0.1/24") })
	st := w.call(ubus.StatusOK, "network.interface.dyn", "status", nil)
	if dynamic, _ := st.Bool("dynamic"); !dynamic {
		t.Errorf("not dynamic: %s", show(st))
	}
	w.reloadNow()
	if !w.up("dyn") || !w.addr("br-lan", "10.77.0.1/24") {
		t.Error("dyn has not survived a reload")
	}
	// Said again it is the same; with something else it is changed in place.
	w.json(ubus.StatusOK, "network", "add_dynamic", dyn)
	w.json(ubus.StatusOK, "network", "add_dynamic", strings.Replace(dyn, "10.77.0.1", "10.78.0.1", 1))
	w.until("dyn has no new address", func() bool {
		return w.up("dyn") && w.addr("br-lan", "10.78.0.1/24") && !w.addr("br-lan", "10.77.0.1/24")
	})
	for _, bad := range []string{`{}`, `{"name":"lan","proto":"static"}`, `{"name":"x","proto":"static","ipaddr":["300.1.1.1"]}`,
		`{"name":"x","proto":"nosuch"}`, `{"name":"x","proto":{"a":1}}`, `{"name":"a b","proto":"none"}`} {
		w.json(ubus.StatusInvalidArgument, "network", "add_dynamic", bad)
	}
	if w.exists("x") {
		t.Error("an interface with errors is there")
	}
	// It goes when it is torn down, here because its parent goes down.
	w.call(ubus.StatusOK, "network.interface.lan", "down", nil)
	w.until("dyn is still there", func() bool { return !w.exists("dyn") })
	w.call(ubus.StatusOK, "network.interface.lan", "up", nil)
	w.until("lan is not up", func() bool { return w.up("lan") })
	w.json(ubus.StatusOK, "network", "add_dynamic", dyn)
	w.until("dyn is not up again", func() bool { return w.up("dyn") })
	w.call(ubus.StatusOK, "network.interface.dyn", "remove", nil)
	w.until("dyn is still there, or its address", func() bool { return !w.exists("dyn") && !w.addr("br-lan", "10.77.0.1/24") })
	if got, want := w.heard()["dyn"], "ifup ifdown ifup ifdown"; got != want {
		t.Errorf("events %q, want %q", got, want)
	}
}

// A dynamic interface brings the VLAN that its device's name implies, and takes
// it along.
func TestAddDynamicImpliesDevices(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.json(ubus.StatusOK, "network", "add_dynamic", `{"name":"m","proto":"none","device":"eth2.7"}`)
	all := w.call(ubus.StatusOK, "network.device", "status", fromJSON(t, []byte(`{"name":"eth2.7"}`)))
	if typ, _ := all.String("type"); typ != "VLAN" {
		t.Errorf("eth2.7 is of type %q", typ)
	}
	w.call(ubus.StatusOK, "network.interface.m", "remove", nil)
	w.until("the VLAN is still known", func() bool {
		_, st := w.try("network.device", "status", ubus.Table{{Name: "name", Value: "eth2.7"}})
		return st == ubus.StatusInvalidArgument
	})
}

func TestAddDeviceToBridge(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.until("lan is not up", func() bool { return w.up("lan") })
	events := w.subscribe("network.device")
	defer func() {
		all := strings.Join(events(0), "\n")
		if n := strings.Count(all, `topo_change {"name":"br-lan"`); n != 4 { // two ports come, two go
			t.Errorf("%d changes of the topology, want 4:\n%s", n, all)
		}
		if strings.Contains(all, "setup {") || strings.Contains(all, "teardown {") || !strings.Contains(all, `add {"name":"eth2"`) {
			t.Errorf("notifications:\n%s", all)
		}
	}()
	w.json(ubus.StatusOK, "network.interface.lan", "add_device", `{"name":"eth2","link-ext":false}`)
	w.json(ubus.StatusOK, "network.interface.lan", "add_device", `{"name":"eth3"}`)
	w.until("eth2 is no port, or not up", func() bool {
		return w.master("eth2") == "br-lan" && w.master("eth3") == "br-lan" && strings.Contains(w.ns.IP("-o link show dev eth2"), ",UP")
	})
	if strings.Contains(w.ns.IP("-o link show dev eth3"), ",UP") {
		t.Error("eth3 is external and has been brought up")
	}
	w.reloadNow()
	if w.master("eth2") != "br-lan" || w.master("eth3") != "br-lan" {
		t.Error("ports have not survived a reload")
	}
	// With its link a port goes for good.
	w.ns.IP("link del eth2")
	w.until("eth2 is still a member", func() bool {
		return !strings.Contains(w.json(ubus.StatusOK, "network.device", "status", `{"name":"br-lan"}`), "eth2")
	})
	w.link("eth2", "peer2b", "")
	time.Sleep(200 * time.Millisecond)
	if w.master("eth2") != "" {
		t.Error("eth2 is a port again though nobody asked")
	}
	w.json(ubus.StatusOK, "network.interface.lan", "remove_device", `{"name":"eth3"}`)
	w.until("eth3 is still a port", func() bool { return w.master("eth3") == "" })
	w.json(ubus.StatusNotFound, "network.interface.lan", "remove_device", `{"name":"eth3"}`)
	w.json(ubus.StatusNotSupported, "network.interface.wan", "add_device", `{"name":"eth3"}`)
	w.json(ubus.StatusInvalidArgument, "network.interface.lan", "add_device", `{}`)
	w.json(ubus.StatusInvalidArgument, "network.interface.lan", "add_device", `{"name":"a/b"}`)
	w.json(ubus.StatusOK, "network.interface.lan", "add_device", `{"name":"br-lan"}`) // it is on it already
}

// An interface whose section names no device gets one.
func TestAddDeviceAsMain(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.json(ubus.StatusOK, "network.interface.plug", "add_device", `{"name":"eth4","link-ext":false}`)
	w.until("plug is not up", func() bool { return w.up("plug") && w.addr("eth4", "10.8.0.1/24") })
	w.reloadNow()
	if !w.up("plug") {
		t.Error("plug has not survived a reload")
	}
	w.json(ubus.StatusOK, "network.interface.plug", "remove_device", `{"name":"eth4"}`)
	w.until("plug is still up", func() bool { return !w.up("plug") && !w.addr("eth4", "10.8.0.1/24") })
	w.json(ubus.StatusOK, "network.interface.plug", "add_device", `{"name":"eth5","link-ext":false}`)
	w.until("plug is not up on eth5", func() bool { return w.up("plug") })
	w.ns.IP("link del eth5")
	w.until("plug still has a device", func() bool {
		st := w.call(ubus.StatusOK, "network.interface.plug", "status", nil)
		return !w.up("plug") && !st.Has("device")
	})
}

func TestPrepare(t *testing.T) {
	w := runtimeWorld(t, strings.Replace(runtimeConfig, "list ports 'eth0'", "list ports 'nosuch0'", 1))
	if w.up("lan") {
		t.Fatal("lan is up though its bridge has no port")
	}
	if got := w.json(ubus.StatusOK, "network.interface.lan", "prepare", `{}`); got != `{"bridge":true}` {
		t.Errorf("prepare: %s", got)
	}
	w.until("lan is not up on its empty bridge", func() bool { return w.up("lan") })
	w.reloadNow()
	if !w.up("lan") {
		t.Error("the prepared bridge has not survived a reload")
	}
	if got := w.json(ubus.StatusOK, "network.interface.wan", "prepare", `{}`); got != `{"bridge":false}` {
		t.Errorf("prepare of a simple device: %s", got)
	}
	w.json(ubus.StatusNotFound, "network.interface.plug", "prepare", `{}`)
}

func TestSetData(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.until("wan is not up", func() bool { return w.up("wan") })
	updates := w.subscribe("network.interface.wan")
	w.json(ubus.StatusOK, "network.interface", "set_data", `{"interface":"wan","b":[1,{"x":true}],"a":"1"}`)
	w.json(ubus.StatusOK, "network.interface.wan", "set_data", `{"a":"2"}`)
	data := func() string {
		st := w.call(ubus.StatusOK, "network.interface.wan", "status", nil)
		d, _ := st.Table("data")
		u, _ := st.Array("updated")
		return show(d) + show(u)
	}
	if got, want := data(), `{"a":"2","b":[1,{"x":true}]}["data"]`; got != want {
		t.Errorf("data %s, want %s", got, want)
	}
	if got := updates(2); len(got) != 2 || !strings.HasPrefix(got[1], `interface.update {"interface":"wan","up":true`) || !strings.Contains(got[1], `"data":{"a":"2","b":[1,{"x":true}]}`) {
		t.Errorf("notifications: %q", got)
	}
	w.reloadNow()
	if got := data(); !strings.HasPrefix(got, `{"a":"2"`) {
		t.Errorf("data after a reload: %s", got)
	}
	w.call(ubus.StatusOK, "network.interface.wan", "down", nil)
	w.until("data is still there", func() bool { return strings.HasPrefix(data(), "{}") })
	if got := updates(3); len(got) != 3 || !strings.HasPrefix(got[2], `interface.down {"interface":"wan","up":false`) || !strings.Contains(got[2], `"data":{}`) {
		t.Errorf("notifications: %q", got)
	}
}

func TestAddHostRoute(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.until("wan is not up", func() bool { return w.up("wan") && w.up("lan") })
	routes := func() string { return w.ns.IP("-4 route show") }
	for _, c := range []struct {
		args   string
		status ubus.Status
		want   string
	}{
		{`{"target":"9.9.9.9","v6":false}`, ubus.StatusOK, `{"interface":"wan"}`},
		{`{"target":"9.9.9.8","interface":"wan"}`, ubus.StatusOK, `{"interface":"wan"}`},
		{`{"target":"9.9.9.7","interface":"lan"}`, ubus.StatusNotFound, ""},
		{`{"target":"9.9.9.7","interface":"wan","exclude":true}`, ubus.StatusNotFound, ""},
		{`{"target":"9.9.9.7","interface":"lan","exclude":true}`, ubus.StatusOK, `{"interface":"wan"}`},
		{`{"target":"9.9.9.7","interface":"nosuch"}`, ubus.StatusNotFound, ""},
		{`{"target":"192.168.1.77"}`, ubus.StatusOK, `{"interface":"lan"}`}, // on the link: it needs no route
		{`{"target":"2001:db8::1","v6":true}`, ubus.StatusNotFound, ""},
		{`{"target":"2001:db8::1"}`, ubus.StatusInvalidArgument, ""},
		{`{"target":"x"}`, ubus.StatusInvalidArgument, ""},
		{`{}`, ubus.StatusInvalidArgument, ""},
	} {
		if got := w.json(c.status, "network", "add_host_route", c.args); got != c.want {
			t.Errorf("%s: %s, want %s", c.args, got, c.want)
		}
	}
	has := func(host string) bool {
		return strings.Contains(routes(), host+" via 203.0.113.1 dev eth1 proto static")
	}
	w.until("a host route is missing", func() bool { return has("9.9.9.9") && has("9.9.9.8") && has("9.9.9.7") })
	if strings.Contains(routes(), "192.168.1.77") {
		t.Errorf("a route to a host on the link:\n%s", routes())
	}
	w.reloadNow()
	if !has("9.9.9.9") {
		t.Error("the host route has not survived a reload")
	}
	// netifd keeps the old gateway; here the way is looked up again.
	w.config([]byte(strings.Replace(runtimeConfig, "option gateway '203.0.113.1'", "option gateway '203.0.113.9'", 1)))
	w.reloadNow()
	w.until("the host route has not followed the gateway", func() bool {
		return strings.Contains(routes(), "9.9.9.9 via 203.0.113.9 dev eth1 proto static") && !has("9.9.9.9")
	})
	w.call(ubus.StatusOK, "network.interface.wan", "down", nil)
	w.until("host routes are still there", func() bool { return !strings.Contains(routes(), "9.9.9.") })
	w.call(ubus.StatusOK, "network.interface.wan", "up", nil)
	w.until("wan is not up", func() bool { return w.up("wan") && strings.Contains(routes(), "default") })
	if strings.Contains(routes(), "9.9.9.") {
		t.Errorf("host routes are back:\n%s", routes())
	}
}

func TestSetAlias(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig)
	w.json(ubus.StatusOK, "network", "add_dynamic", `{"name":"top","proto":"static","device":"@uplink","ipaddr":["10.9.0.1/24"]}`)
	if w.up("top") {
		t.Fatal("top is up on nothing")
	}
	w.json(ubus.StatusOK, "network.device", "set_alias", `{"alias":["uplink"],"device":"eth4"}`)
	w.until("top is not up on eth4", func() bool { return w.up("top") && w.addr("eth4", "10.9.0.1/24") })
	w.config([]byte(runtimeConfig + "config interface 'over'\n\toption device '@uplink'\n\toption proto 'static'\n\toption ipaddr '10.10.0.1/24'\n"))
	w.reloadNow()
	w.until("a section may name the alias", func() bool { return w.up("over") })
	w.json(ubus.StatusOK, "network.device", "set_alias", `{"alias":["uplink"],"device":"eth5"}`)
	w.until("over has not followed", func() bool { return w.addr("eth5", "10.10.0.1/24") && !w.addr("eth4", "10.10.0.1/24") })
	w.json(ubus.StatusOK, "network.device", "set_alias", `{"alias":["uplink"]}`)
	w.until("over is still up", func() bool { return !w.up("over") && !w.exists("top") })
	for _, bad := range []string{`{}`, `{"alias":"notanarray"}`, `{"alias":[1]}`, `{"alias":["a"],"device":"a/b"}`} {
		w.json(ubus.StatusInvalidArgument, "network.device", "set_alias", bad)
	}
}

func TestSetState(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig+`
config device
	option name 'eth0'
	option auth '1'
config device
	option name 'eth4'
	option auth '1'
config interface 'dot1x'
	option device 'eth4'
	option proto 'static'
	option ipaddr '10.11.0.1/24'
`)
	w.until("the links are not up", func() bool {
		return strings.Contains(w.ns.IP("-o link show dev eth4"), "LOWER_UP") && strings.Contains(w.ns.IP("-o link show dev eth0"), "LOWER_UP")
	})
	time.Sleep(200 * time.Millisecond)
	if w.up("dot1x") || w.master("eth0") != "" {
		t.Error("traffic can pass before 802.1X")
	}
	if !strings.Contains(w.ns.Run("cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6"), "1") {
		t.Error("a port that waits for 802.1X has IPv6")
	}
	events := w.subscribe("network.device")
	for _, dev := range []string{"eth0", "eth4"} {
		w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"`+dev+`","auth_status":true}`)
	}
	w.until("traffic cannot pass after 802.1X", func() bool { return w.up("dot1x") && w.master("eth0") == "br-lan" })
	if got := events(2); !strings.Contains(strings.Join(got, "\n"), `auth_up {"name":"eth4","auth_status":true,"present":true,"active":true,"link_active":true}`) {
		t.Errorf("notifications: %q", got)
	}
	if got := w.json(ubus.StatusOK, "network.device", "status", `{"name":"eth4"}`); !strings.Contains(got, `"auth_status":true`) || !strings.Contains(got, `"auth":true`) {
		t.Errorf("status: %s", got)
	}
	// It is over when the carrier is lost, and must be said again.
	w.far.IP("link set peer4 down")
	w.until("dot1x is still up", func() bool { return !w.up("dot1x") })
	w.far.IP("link set peer4 up")
	time.Sleep(300 * time.Millisecond)
	if w.up("dot1x") {
		t.Error("dot1x is up again without 802.1X")
	}
	w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"eth4","auth_status":true}`)
	w.until("dot1x is not up", func() bool { return w.up("dot1x") })
	w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"eth4","auth_status":false}`)
	w.until("dot1x is still up", func() bool { return !w.up("dot1x") })

	w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"eth1","defer":true}`)
	w.until("wan is up on a deferred device", func() bool { return !w.up("wan") })
	w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"eth1","defer":false}`)
	w.until("wan is not up", func() bool { return w.up("wan") })
	w.json(ubus.StatusOK, "network.device", "set_state", `{"name":"br-lan","defer":"str"}`) // recorded: a wrong type is not there
	w.json(ubus.StatusNotFound, "network.device", "set_state", `{"name":"nosuch0","defer":true}`)
	w.json(ubus.StatusInvalidArgument, "network.device", "set_state", `{"defer":true}`)
}

func TestSTPInit(t *testing.T) {
	bridge := func(name, more string) string {
		return "config device\n\toption name '" + name + "'\n\toption type 'bridge'\n\toption bridge_empty '1'\n\toption stp '1'\n" + more +
			"config interface '" + name + "'\n\toption device '" + name + "'\n\toption proto 'none'\n"
	}
	w := runtimeWorld(t, bridge("user", "\toption stp_proto 'mstp'\n\toption forward_delay '15'\n\toption ageing_time '90'\n")+bridge("kern", "\toption stp_kernel '1'\n"))
	heard := w.subscribe("network.device")
	w.json(ubus.StatusOK, "network.device", "stp_init", `{}`)
	const want = `stp_init {"name":"user","proto":"mstp","forward_delay":15,"hello_time":1,"max_age":10,"ageing_time":90}`
	if got := heard(1); len(got) != 1 || got[0] != want {
		t.Errorf("notifications %q, want %q", got, want)
	}
	// Before a bridge is made whoever runs its tree hears of it.
	w.config([]byte(bridge("next", "")))
	w.reloadNow()
	w.until("no stp_init for the new bridge", func() bool {
		for _, e := range heard(0) {
			if strings.HasPrefix(e, `stp_init {"name":"next"`) {
				return true
			}
		}
		return false
	})
}

// subscribe listens to the notifications of an object. The answer gives those
// heard so far, as soon as there are at least so many.
func (w *world) subscribe(path string) func(atLeast int) []string {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	var mu sync.Mutex
	var list []string
	o, err := w.client.Subscriber(ctx, func(name string, data ubus.Table) {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, name+" "+show(data))
	}, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := w.client.LookupID(ctx, path)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := o.Subscribe(ctx, id); err != nil {
		w.t.Fatal(err)
	}
	return func(atLeast int) []string {
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			mu.Lock()
			out := slices.Clone(list)
			mu.Unlock()
			if len(out) >= atLeast || time.Now().After(deadline) {
				return out
			}
		}
	}
}
