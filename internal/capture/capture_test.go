package capture

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"netbraid/ubus"
)

// moment is one recorded moment of a run with netifd.
type moment struct {
	name   string
	dump   ubus.Table
	device ubus.Table
	kernel kernel
	events []string
	// told tells whether hotplug and resolv, what scripts and the resolver were
	// told, were recorded.
	told            bool
	hotplug, resolv string
}

// load reads a moment; replace are pairs of texts, for what is random.
func load(t testing.TB, run, step string, replace ...string) *moment {
	t.Helper()
	a := txtar.Parse([]byte(strings.NewReplacer(replace...).Replace(string(read(t, run, step+".txtar")))))
	m := &moment{name: step, kernel: kernel{}}
	for _, f := range a.Files {
		switch f.Name {
		case "dump.json":
			m.dump = fromJSON(t, f.Data)
		case "device.json":
			m.device = fromJSON(t, f.Data)
		case "hotplug":
			m.told, m.hotplug = true, string(f.Data)
		case "resolv":
			m.resolv = string(f.Data)
		case "events":
			m.events = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
		default:
			m.kernel[f.Name] = string(f.Data)
		}
	}
	return m
}

func fromJSON(t testing.TB, b []byte) ubus.Table {
	t.Helper()
	v, err := ubus.FromJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// addrs gives the link-layer address that each link had.
func (m *moment) addrs() map[string]string {
	out := map[string]string{}
	facts, _ := m.kernel.facts()
	for name, v := range facts {
		if dev, ok := strings.CutSuffix(name, " address"); ok && v != "" {
			out[dev] = v
		}
	}
	return out
}

// byName turns the list of a dump into a table, keyed by interface.
func byName(dump ubus.Table) ubus.Table {
	var out ubus.Table
	list, _ := dump.Array("interface")
	for _, v := range list {
		e, _ := v.(ubus.Table)
		n, _ := e.String("interface")
		out = append(out, ubus.Field{Name: n, Value: e})
	}
	return out
}

// compare gives all differences between the world as it is and a moment.
func (w *world) compare(m *moment) []string {
	w.t.Helper()
	var out []string
	dump := w.call(ubus.StatusOK, "network.interface", "dump", nil)
	want, got := byName(m.dump), byName(dump)
	diffTable("dump", want, got, &out)
	for _, f := range want {
		st, code := w.try("network.interface."+f.Name, "status", nil)
		if code == ubus.StatusOK {
			diffTable("status."+f.Name, f.Value.(ubus.Table)[1:], st, &out)
		} else if got.Has(f.Name) {
			out = append(out, line("status."+f.Name, "0", show(int32(code))))
		}
	}
	diffTable("device", m.device, w.call(ubus.StatusOK, "network.device", "status", nil), &out)
	recordedFacts, then := m.kernel.facts()
	facts, now := w.kernel().facts()
	for _, f := range []map[string]string{recordedFacts, facts} {
		dropLocal(f, append(then, now...))
	}
	diffFacts(recordedFacts, facts, &out)
	heard := map[string]string{}
	for n, e := range w.heard() {
		heard["events of "+n] = e
	}
	recorded := map[string]string{}
	for n, e := range byInterface(m.events) {
		recorded["events of "+n] = e
	}
	diffFacts(recorded, heard, &out)
	if m.told {
		w.told(m, &out)
	}
	slices.Sort(out)
	return out
}

// patience is how long the world may take to become as recorded.
const patience = 6 * time.Second

// expect waits until the world is as at the moment but for what is accepted,
// and for what the caller accepts here alone.
func (w *world) expect(j *judge, m *moment, here ...string) {
	w.t.Helper()
	if left := w.differences(j, m, patience, here...); len(left) > 0 {
		w.t.Errorf("step %s: %d differences from netifd:\n\t%s", m.name, len(left), strings.Join(left, "\n\t"))
	}
}

func (w *world) differences(j *judge, m *moment, d time.Duration, here ...string) (left []string) {
	w.t.Helper()
	var only []*regexp.Regexp
	for _, h := range here {
		only = append(only, regexp.MustCompile(h))
	}
	for deadline := time.Now().Add(d); ; time.Sleep(50 * time.Millisecond) {
		left = slices.DeleteFunc(j.left(w.compare(m)), func(d string) bool {
			return slices.ContainsFunc(only, func(r *regexp.Regexp) bool { return r.MatchString(d) })
		})
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

func read(t testing.TB, elem ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDevices is the run of all types of devices and their options. It was
// recorded 3 s after the start, while the spanning tree of br0 (forward_delay
// 4) still held its port back; on a machine so busy that this time is missed
// the test begins again.
func TestDevices(t *testing.T) {
	const listening = 3500 * time.Millisecond
	for range 5 {
		j := newJudge("devices")
		m := load(t, "host-devices", "0-initial")
		recorded := m.addrs()
		w := newWorld(t, 12, recorded)
		w.config(read(t, "host-devices", "network"))
		start := time.Now()
		w.start()
		// The kernel chose these two link-layer addresses.
		var random []string
		for _, dev := range []string{"br-empty", "vp0"} {
			now := w.ns.JSON("link show dev " + dev)[0]["address"].(string)
			random = append(random, recorded[dev], now, linkLocal(t, recorded[dev]), linkLocal(t, now))
		}
		m = load(t, "host-devices", "0-initial", random...)
		late := time.Since(start) > listening/2
		left := w.differences(j, m, listening-time.Since(start))
		if len(left) > 0 && (late || time.Since(start) > listening+time.Second) {
			t.Logf("too late after %s: again", time.Since(start))
			continue
		}
		for _, d := range left {
			t.Error(d)
		}
		j.finish(t)
		return
	}
	t.Skip("this machine is too busy to look at a spanning tree in time, five times over")
}

// linkLocal is the link-local address that the kernel makes of a link-layer
// address (RFC 4291, appendix A).
func linkLocal(t testing.TB, addr string) string {
	t.Helper()
	m, err := net.ParseMAC(addr)
	if err != nil {
		t.Fatal(err)
	}
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}).String()
}

// TestBase is the run through loss and return of everything that interfaces
// stand on.
func TestBase(t *testing.T) {
	const run = "host-base"
	j := newJudge("base")
	initial := load(t, run, "0-initial")
	w := newWorld(t, 6, initial.addrs())
	w.config(read(t, run, "network"))
	w.start()
	w.expect(j, initial)
	w.types()
	w.signatures()

	ok := ubus.StatusOK
	w.call(ok, "network.interface.wan", "down", nil)
	w.expect(j, load(t, run, "1-after-ifdown-wan"))
	w.call(ok, "network.interface.wan", "up", nil)
	w.expect(j, load(t, run, "2-after-ifup-wan"))
	w.call(ok, "network.interface.lan", "down", nil)
	w.expect(j, load(t, run, "3-lan-down-alias-follows"))
	w.call(ok, "network.interface.lan", "up", nil)
	w.expect(j, load(t, run, "4-lan-up"))
	w.far.IP("link set peer2 down")
	w.expect(j, load(t, run, "5-wan-carrier-loss"))
	w.far.IP("link set peer2 up")
	w.expect(j, load(t, run, "6-wan-carrier-back"))
	w.ns.IP("link del eth2")
	w.expect(j, load(t, run, "7-wan-device-removed"))
	returned := load(t, run, "8-wan-device-returned")
	w.link("eth2", "peer2", returned.addrs()["eth2"])
	w.expect(j, returned)

	w.callsOfStep9(j)
	w.removeAndReload(j)
	w.noRepeats()
	j.finish(t)
}

// noRepeats holds that each event is sent once (netifd sends ifdown twice).
func (w *world) noRepeats() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	last := map[string]string{}
	for _, e := range w.events {
		action, name, _ := strings.Cut(e, " ")
		if last[name] == action {
			w.t.Errorf("event %q is sent twice in a row", e)
		}
		last[name] = action
	}
}

// callsOfStep9 makes the calls that the recorded run made between two steps.
func (w *world) callsOfStep9(j *judge) {
	w.t.Helper()
	named := func(name string, more ...ubus.Field) ubus.Table {
		return append(ubus.Table{{Name: "interface", Value: name}}, more...)
	}
	w.call(ubus.StatusNotFound, "network.interface.nope", "status", nil)
	w.call(ubus.StatusNotFound, "network.interface", "status", named("nope"))
	w.call(ubus.StatusInvalidArgument, "network.interface", "status", nil)
	w.call(ubus.StatusInvalidArgument, "network.interface", "status", ubus.Table{{Name: "interface", Value: int32(5)}})
	w.call(ubus.StatusMethodNotFound, "network.interface.lan", "nosuchmethod", nil)
	w.call(ubus.StatusInvalidArgument, "network.device", "status", ubus.Table{{Name: "name", Value: "nope0"}})
	byArg := w.call(ubus.StatusOK, "network.interface", "status", named("lan"))
	var diffs []string
	diffTable("status by argument", w.call(ubus.StatusOK, "network.interface.lan", "status", nil), byArg, &diffs)
	all := w.call(ubus.StatusOK, "network.device", "status", nil)
	for _, dev := range []string{"br-lan", "eth2", "lo"} {
		one := w.call(ubus.StatusOK, "network.device", "status", ubus.Table{{Name: "name", Value: dev}})
		of, _ := all.Table(dev)
		diffTable("device "+dev+" alone", of, one, &diffs)
	}
	for _, d := range diffs {
		w.t.Error(d)
	}
	host := ubus.Table{{Name: "target", Value: "9.9.9.9"}, {Name: "v6", Value: false}}
	if got := show(w.call(ubus.StatusOK, "network", "add_host_route", host)); got != `{"interface":"wan"}` {
		w.t.Errorf("add_host_route: %s", got)
	}
	w.call(ubus.StatusNotFound, "network", "add_host_route", append(host, ubus.Field{Name: "interface", Value: "lan"}))
	w.call(ubus.StatusOK, "network.interface.wan", "set_data", fromJSON(w.t, []byte(`{"foo":"bar","n":3,"data":{"zone":"wan","k":1}}`)))
	w.call(ubus.StatusOK, "network.interface", "add_device", named("lan", ubus.Field{Name: "name", Value: "eth3"}))
	w.call(ubus.StatusOK, "network", "add_dynamic", fromJSON(w.t, []byte(`{"name":"dyn1","proto":"static","device":"@lan","ipaddr":["10.77.0.1/24"]}`)))
	w.expect(j, load(w.t, "host-base", "9-dynamic-and-data"), eth3...)
	w.call(ubus.StatusOK, "network.interface.dyn1", "remove", nil)
	w.call(ubus.StatusOK, "network.interface.wan", "renew", nil)
	w.call(ubus.StatusNotSupported, "network.interface.wan", "notify_proto", ubus.Table{{Name: "action", Value: int32(0)}})
	w.call(ubus.StatusOK, "network.interface", "remove_device", named("lan", ubus.Field{Name: "name", Value: "eth3"}))
	w.call(ubus.StatusUnknownError, "network.interface.down1", "restart", nil)
}

// eth3 are the differences about the port that step 9 adds to the bridge. The
// link was there before, and netifd loses it: it is no port in the kernel, has
// no status, and the interface on it has no device any more. Here it becomes a
// port, and is there again when it has been taken out.
var eth3 = []string{`\.down1\.available: netifd false, netbraid true$`, `^device\.eth3: netifd nothing`,
	`^eth3 (master|port .*|state|allmulti|promiscuity): `, `^eth3 flags: `}

// wrong lists the errors in the answer of netbraid's own reload.
func wrong(reply ubus.Table) (out []string) {
	problems, _ := reply.Array("problems")
	for _, p := range problems {
		t, _ := p.(ubus.Table)
		if s, _ := t.String("severity"); s != "error" {
			continue
		}
		section, _ := t.String("section")
		option, _ := t.String("option")
		value, _ := t.String("value")
		out = append(out, section+" "+option+" "+value)
	}
	return out
}

// removeAndReload are the steps a, b and c. netifd was reloaded with a
// configuration in which the address of badaddr is still wrong; netbraid
// refuses that, so the moment must be the same before and after. Only with
// that line put right the reload brings the removed interface back.
func (w *world) removeAndReload(j *judge) {
	t := w.t
	t.Helper()
	const run = "host-base"
	// netifd took the new address, and with it wan down and up, once more.
	left := append([]string{`^events of wan:`}, eth3...)
	w.call(ubus.StatusOK, "network.interface.wan", "remove", nil)
	a := load(t, run, "a-reload-wan-ip-changed")
	w.expect(j, a, left...)

	changed := read(t, run, "network.changed")
	w.config(changed)
	w.call(ubus.StatusInvalidArgument, "network", "reload", nil)
	r := w.call(ubus.StatusOK, "netbraid", "reload", nil)
	if ok, _ := r.Bool("ok"); ok || !slices.Equal(wrong(r), []string{"interface badaddr ipaddr 300.1.2.3"}) {
		t.Errorf("netbraid reload of a wrong configuration: %s", show(r))
	}
	time.Sleep(300 * time.Millisecond)
	w.expect(j, a, left...)
	if err := os.Remove(filepath.Join(w.dir, "config", "network")); err != nil {
		t.Fatal(err)
	}
	w.call(ubus.StatusNotFound, "network", "reload", nil)
	w.expect(j, a, left...)

	w.config([]byte(strings.Replace(string(changed), "300.1.2.3", "10.9.11.3", 1)))
	w.call(ubus.StatusOK, "network", "reload", nil)
	c := load(t, run, "c-network-restart")
	right := []string{`badaddr`, `^events of`, `10\.9\.11\.`}
	w.expect(j, c, right...)
	before := w.heard()["wan"]
	w.call(ubus.StatusOK, "network.interface.wan", "restart", nil)
	w.expect(j, c, right...)
	if got, want := w.heard()["wan"], before+" ifdown ifup"; got != want {
		t.Errorf("events of wan after its restart: %q, want %q", got, want)
	}
	before = w.heard()["lan"]
	w.call(ubus.StatusOK, "network", "restart", nil)
	w.expect(j, c, right...)
	if got, want := w.heard()["lan"], before+" ifdown ifup"; got != want {
		t.Errorf("events of lan after network restart: %q, want %q", got, want)
	}
}
