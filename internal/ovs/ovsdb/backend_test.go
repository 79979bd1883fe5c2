package ovsdb

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
)

// TestEverything asks for all that a switch can have, and compares what
// ovs-vsctl shows.
func TestEverything(t *testing.T) {
	t.Parallel()
	everything(newWorld(t))
}

// TestOnKernelDatapath does what the other tests do with the userspace
// datapath with the kernel's.
func TestOnKernelDatapath(t *testing.T) {
	vmtest.Require(t)
	for _, c := range []struct {
		name string
		test func(*world)
	}{
		{"everything", everything}, {"foreign", foreign}, {"port errors", portErrors}, {"moves", moves},
		{"forwarding", forwarding}, {"restarts", func(w *world) { restarts(w, 2) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.datapath = system
			c.test(w)
		})
	}
}

func everything(w *world) {
	t := w.t
	for _, pair := range []string{"ve0 vp0", "ve1 vp1", "ve2 vp2"} {
		a, b, _ := strings.Cut(pair, " ")
		w.ns.Veth(a, b, nil)
	}
	br0 := w.bridge("br0",
		model.SwitchPort{Name: "acc", Type: "internal", Tag: 10},
		model.SwitchPort{Name: "bond0", Members: []string{"ve1", "ve2"}, BondMode: "active-backup", LACP: "off"},
		model.SwitchPort{Name: "native", Type: "internal", Tag: 5, Trunks: []uint16{5, 6}, VLANMode: "native-untagged"},
		model.SwitchPort{Name: "pt0", Type: "patch", Options: []model.KeyValue{{Key: "peer", Value: "pt1"}}},
		model.SwitchPort{Name: "trunk", Type: "internal", Trunks: []uint16{20, 30}, VLANMode: "trunk"},
		model.SwitchPort{Name: "ve0", Number: 77},
		model.SwitchPort{Name: "vx0", Type: "vxlan", Options: []model.KeyValue{{Key: "key", Value: "7"}, {Key: "remote_ip", Value: "192.0.2.9"}}},
	)
	br0.FailMode, br0.Ageing, br0.RSTP = "secure", 60, true
	br0.Controllers = []string{"tcp:192.0.2.1:6653", "ptcp:0:127.0.0.1"}
	br1 := w.bridge("br1", model.SwitchPort{Name: "pt1", Type: "patch", Options: []model.KeyValue{{Key: "peer", Value: "pt0"}}})
	br1.STP = true
	b := w.backend()
	b.Set([]model.Switch{br1, br0})
	b.wait("br0 there acc+ bond0+ native+ pt0+ trunk+ ve0+ vx0+")
	b.wait("br1 there pt1+")

	mark := any([]any{"map", []any{[]any{"netbraid", "1"}}})
	none := any([]any{"set", []any{}})
	set := func(v ...any) any { return []any{"set", v} }
	check := func(table string, columns []string, want map[string][]any) {
		t.Helper()
		rows := w.list(table, append(columns, "external_ids")...)
		if got := slices.Sorted(maps.Keys(rows)); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s has %v, want %v", table, got, slices.Sorted(maps.Keys(want)))
		}
		for name, values := range want {
			for i, v := range append(values, mark) {
				c := append(columns[1:], "external_ids")[i]
				if got := rows[name][c]; !reflect.DeepEqual(got, v) {
					t.Errorf("%s %s.%s = %v, want %v", table, name, c, got, v)
				}
			}
		}
	}
	check("Bridge", []string{"name", "datapath_type", "fail_mode", "stp_enable", "rstp_enable", "other_config"}, map[string][]any{
		"br0": {w.datapath, "secure", false, true, []any{"map", []any{[]any{"mac-aging-time", "60"}}}},
		"br1": {w.datapath, none, true, false, []any{"map", []any{}}},
	})
	check("Port", []string{"name", "tag", "trunks", "vlan_mode", "bond_mode", "lacp"}, map[string][]any{
		"br0": {none, none, none, none, none}, "br1": {none, none, none, none, none},
		"acc": {10.0, none, none, none, none}, "bond0": {none, none, none, "active-backup", "off"},
		"native": {5.0, set(5.0, 6.0), "native-untagged", none, none}, "pt0": {none, none, none, none, none},
		"pt1": {none, none, none, none, none}, "trunk": {none, set(20.0, 30.0), "trunk", none, none},
		"ve0": {none, none, none, none, none}, "vx0": {none, none, none, none, none},
	})
	noOptions := any([]any{"map", []any{}})
	pairs := func(kv ...any) any {
		var list []any
		for i := 0; i < len(kv); i += 2 {
			list = append(list, []any{kv[i], kv[i+1]})
		}
		return []any{"map", list}
	}
	check("Interface", []string{"name", "type", "options", "ofport_request", "error"}, map[string][]any{
		"br0": {"internal", noOptions, none, none}, "br1": {"internal", noOptions, none, none},
		"acc": {"internal", noOptions, none, none}, "native": {"internal", noOptions, none, none}, "trunk": {"internal", noOptions, none, none},
		"ve0": {"", noOptions, 77.0, none}, "ve1": {"", noOptions, none, none}, "ve2": {"", noOptions, none, none},
		"pt0": {"patch", pairs("peer", "pt1"), none, none}, "pt1": {"patch", pairs("peer", "pt0"), none, none},
		"vx0": {"vxlan", pairs("key", "7", "remote_ip", "192.0.2.9"), none, none},
	})
	check("Controller", []string{"target"}, map[string][]any{"tcp:192.0.2.1:6653": {}, "ptcp:0:127.0.0.1": {}})
	if got := strings.Fields(w.Vsctl("list-ports br0")); !slices.Equal(got, []string{"acc", "bond0", "native", "pt0", "trunk", "ve0", "vx0"}) {
		t.Errorf("ports of br0: %v", got)
	}
	numbers := w.list("Interface", "name", "ofport")
	for _, p := range b.state("br0").Ports {
		if got := numbers[p.Name]["ofport"]; p.Name != "bond0" && got != float64(p.Number) {
			t.Errorf("%s: number %d, ovs-vsctl says %v", p.Name, p.Number, got)
		}
	}
	if n := b.state("br0").Ports[5].Number; n != 77 {
		t.Errorf("ve0 has number %d, not 77", n)
	}
	if w.config() != "1" {
		t.Errorf("%s transactions, not 1", w.config())
	}

	// Another process finds all as it is to be, and writes nothing.
	b.Close()
	size := w.size()
	again := w.backend()
	again.Set([]model.Switch{br0, br1})
	again.wait("br0 there acc+ bond0+ native+ pt0+ trunk+ ve0+ vx0+")
	again.wait("br1 there pt1+")
	if now := w.size(); now != size {
		t.Errorf("a new process has written: the database had %d octets, now %d", size, now)
	}

	// Everything changes, in one transaction.
	before := w.config()
	br0.FailMode, br0.Ageing, br0.RSTP, br0.Controllers = "", 0, false, []string{"tcp:192.0.2.2:6653"}
	br0.Ports = []model.SwitchPort{
		{Name: "acc", Type: "internal", Trunks: []uint16{7}},
		{Name: "bond0", Members: []string{"ve0", "ve1"}, BondMode: "balance-slb", LACP: "active"},
		{Name: "ve2", Tag: 3, Number: 9},
		{Name: "vx0", Type: "geneve", Options: []model.KeyValue{{Key: "key", Value: "8"}, {Key: "remote_ip", Value: "192.0.2.9"}, {Key: "tos", Value: "inherit"}}},
	}
	again.Set([]model.Switch{br0})
	again.wait("br0 there acc+ bond0+ ve2+ vx0+")
	again.wait("br1")
	check("Bridge", []string{"name", "datapath_type", "fail_mode", "stp_enable", "rstp_enable", "other_config"}, map[string][]any{
		"br0": {w.datapath, none, false, false, []any{"map", []any{}}},
	})
	check("Port", []string{"name", "tag", "trunks", "vlan_mode", "bond_mode", "lacp"}, map[string][]any{
		"br0": {none, none, none, none, none}, "acc": {none, 7.0, none, none, none},
		"bond0": {none, none, none, "balance-slb", "active"}, "ve2": {3.0, none, none, none, none}, "vx0": {none, none, none, none, none},
	})
	check("Interface", []string{"name", "type", "options", "ofport_request", "error"}, map[string][]any{
		"br0": {"internal", noOptions, none, none}, "acc": {"internal", noOptions, none, none},
		"ve0": {"", noOptions, none, none}, "ve1": {"", noOptions, none, none}, "ve2": {"", noOptions, 9.0, none},
		"vx0": {"geneve", pairs("key", "8", "remote_ip", "192.0.2.9", "tos", "inherit"), none, none},
	})
	check("Controller", []string{"target"}, map[string][]any{"tcp:192.0.2.2:6653": {}})
	if after := w.config(); len(before) != 1 || after != string(before[0]+1) {
		t.Errorf("next_cfg was %s, is %s: more than one transaction", before, after)
	}
	again.Set(nil)
	again.wait("br0")
	nstest.Eventually(t, waitTime, func() string {
		if out := w.Vsctl("list-br"); out != "" {
			return "left: " + out
		}
		return ""
	})
}

// size is how long the database's log is: every transaction makes it longer
// (but for columns that are not kept).
func (w *world) size() int64 {
	w.t.Helper()
	time.Sleep(300 * time.Millisecond)
	st, err := os.Stat(w.Dir + "/conf.db")
	if err != nil {
		w.t.Fatal(err)
	}
	return st.Size()
}

// TestForeign: what others have made is used, compared and left alone.
func TestForeign(t *testing.T) {
	t.Parallel()
	foreign(newWorld(t))
}

func foreign(w *world) {
	t := w.t
	w.Vsctl("add-br theirs -- set bridge theirs datapath_type=" + w.datapath + " fail_mode=secure other_config:mac-aging-time=99 -- add-port theirs t0 tag=7 -- set interface t0 type=internal -- add-port theirs t1 -- set interface t1 type=internal")
	w.Vsctl("add-br other -- set bridge other datapath_type=" + w.datapath + " -- add-port other o0 -- set interface o0 type=internal")
	b := w.backend()
	theirs := w.bridge("theirs", internal("mine", "o0", "t0", "t1")...)
	theirs.Ports[2].Tag = 8 // t0
	mine := w.bridge("ours", internal("m0")...)
	mine.Controllers = []string{"tcp:192.0.2.1:6653"}
	b.Set([]model.Switch{theirs, mine})
	b.wait(`theirs there mine+ o0!(KEY_TAKEN: somebody else has made a port of this name, and it is on bridge other) t0!+(KEY_TAKEN: somebody else has made a port of this name, and its tag is 7, not 8) t1!+`)
	b.wait("ours there m0+")

	// By hand onto our own bridge, and into maps and sets of our rows.
	w.Vsctl("add-port ours hand -- set interface hand type=internal")
	w.Vsctl("--id=@c create controller target=\"tcp:192.0.2.7:6653\" -- add bridge ours controller @c")
	w.Vsctl("set bridge ours other_config:hwaddr=02:00:00:00:00:09 external_ids:them=1 mcast_snooping_enable=true")
	w.Vsctl("set port m0 external_ids:them=2 qos=[] -- set interface m0 external_ids:them=3")
	before := w.config()
	mine.Ports = append(mine.Ports, internal("m1")...)
	mine.Ageing = 20
	theirs.FailMode = "standalone"
	b.Set([]model.Switch{theirs, mine})
	b.wait("ours there m0+ m1+")
	b.wait(`theirs (KEY_TAKEN: somebody else has made this bridge, and its fail_mode is "secure", not "standalone"; change it there, or do not ask for it here)*`)
	if got := w.Vsctl("get bridge ours other_config external_ids mcast_snooping_enable"); got != "{hwaddr=\"02:00:00:00:00:09\", mac-aging-time=\"20\"}\n{netbraid=\"1\", them=\"1\"}\ntrue" {
		t.Errorf("ours has %s", got)
	}
	if got := w.Vsctl("list-ports ours") + "\n" + w.Vsctl("get-controller ours"); got != "hand\nm0\nm1\ntcp:192.0.2.1:6653\ntcp:192.0.2.7:6653" {
		t.Errorf("ours has %s", got)
	}
	if got := w.Vsctl("get bridge theirs fail_mode other_config"); got != "secure\n{mac-aging-time=\"99\"}" {
		t.Errorf("theirs has %s", got)
	}
	if got := w.config(); len(got) != len(before) || got[len(got)-1] != before[len(before)-1]+1 {
		t.Errorf("next_cfg was %s, is %s: more than one transaction", before, got)
	}

	// Nothing is wanted any more: only what is ours goes. Our bridge stays while
	// it has a port of others.
	b.Set(nil)
	b.wait("ours (it is not wanted any more, and stays until its ports of others are gone: hand)")
	b.wait("theirs")
	if got := w.Vsctl("list-br") + "\n" + w.Vsctl("list-ports theirs") + "\n" + w.Vsctl("list-ports ours"); got != "other\nours\ntheirs\nt0\nt1\nhand" {
		t.Errorf("left: %q", got)
	}
	w.Vsctl("del-port ours hand")
	b.wait("ours")
	if got := w.Vsctl("list-br"); got != "other\ntheirs" {
		t.Errorf("bridges: %q", got)
	}

	// The name of a bridge is taken.
	b.Set([]model.Switch{w.bridge("o0", internal("z")...)})
	b.wait("o0 (KEY_TAKEN: somebody else has a port of this name on bridge other) z")
	w.Vsctl("del-port other o0")
	b.wait("o0 there z+")
}

// TestPortErrors: what cannot be is said of its port, and keeps nothing else.
func TestPortErrors(t *testing.T) {
	t.Parallel()
	portErrors(newWorld(t))
}

func portErrors(w *world) {
	t := w.t
	b := w.backend()
	br := w.bridge("br0",
		model.SwitchPort{Name: "badmode", Type: "internal", VLANMode: "frob"},
		model.SwitchPort{Name: "badtag", Type: "internal", Tag: 5000},
		model.SwitchPort{Name: "badtype", Type: "frob"},
		model.SwitchPort{Name: "good", Type: "internal", Number: 4},
		model.SwitchPort{Name: "nodev0"},
		model.SwitchPort{Name: "nul", Type: "gre", Options: []model.KeyValue{{Key: "key", Value: "a\x00"}}},
		model.SwitchPort{Name: "pt", Type: "patch", Options: []model.KeyValue{{Key: "peer", Value: "nowhere"}}},
		model.SwitchPort{Name: "twice", Members: []string{"good", "e9"}},
		model.SwitchPort{Name: "vx1", Type: "vxlan"},
	)
	frob := model.Switch{Name: "br1", DatapathType: "frob"}
	long := model.Switch{Name: "a-name-too-long-for-a-device"}
	b.Set([]model.Switch{br, frob, long})
	b.wait(`br1 (ovs-vswitchd knows no datapath_type frob, only [netdev system])`)
	b.wait(`a-name-too-long-for-a-device ("a-name-too-long-for-a-device" cannot be the name of a bridge: it is the name of a device as well, 1 to 15 octets without / and blanks)`)
	want := []string{
		`badmode(vlan_mode: "frob" is not one of [access dot1q-tunnel native-tagged native-untagged trunk])`,
		`badtag(tag: 5000 is not between 0 and 4095)`,
		`badtype(could not open network device badtype (Address family not supported by protocol))`,
		`good+`,
		`nodev0(could not open network device nodev0 (No such device))`,
		`nul(options: "a\x00" cannot be kept in a database: it is not UTF-8 without NUL)`,
		`pt+(No usable peer 'nowhere' exists in '` + w.datapath + `' datapath.)`,
		`twice(KEY_TAKEN: port good of switch br0 has the interface good as well)`,
		`vx1(vx1: vxlan type requires valid 'remote_ip' argument)`,
	}
	b.wait("br0 there " + strings.Join(want, " "))
	// While ovs-vswitchd works on something else, what it has said holds.
	b.watch(func(s model.SwitchState) {
		if l := line(s); s.Name == "br0" && (!s.There || !strings.Contains(l, want[4]) || !strings.Contains(l, want[3])) {
			t.Errorf("while something else is made: %s", l)
		}
	})
	w.Vsctl("add-port br0 hand -- set interface hand type=internal -- set bridge br0 other_config:mac-aging-time=40")
	b.Set([]model.Switch{br, frob, long, w.bridge("br2")})
	b.wait("br2 there")
	b.Set([]model.Switch{br, frob, long})
	b.wait("br2")
	w.Vsctl("del-port hand")
	b.watch(nil)
	// The device comes: ovs-vswitchd takes it by itself.
	for range 2 {
		w.ns.Veth("nodev0", "peer0", nil)
		want[4] = "nodev0+"
		b.wait("br0 there " + strings.Join(want, " "))
		w.ns.IP("link del nodev0")
		want[4] = "nodev0+(its device has gone; it is used again when it comes back)"
		if w.datapath == "system" { // where the port goes with its device
			want[4] = "nodev0(could not open network device nodev0 (No such device))"
		}
		b.wait("br0 there " + strings.Join(want, " "))
	}
	if n := strings.Count(b.said(), "ovsdb: wrote"); n != 4 {
		t.Errorf("%d transactions, not 4", n)
	}
	br.Ports = append(br.Ports, model.SwitchPort{Name: "ztaken", Type: "internal", Number: 4})
	b.Set([]model.Switch{br, frob, long})
	b.wait("br0 there " + strings.Join(append(want, "ztaken+(the port number asked for is taken)"), " "))
}

// TestDrift: what others take away or change of ours comes back, less and less
// often when they insist.
func TestDrift(t *testing.T) {
	t.Parallel()
	long(t)
	w := newWorld(t)
	b := w.backend()
	br := w.bridge("br0", internal("p0", "p1")...)
	br.Ports[0].Tag = 9
	b.Set([]model.Switch{br})
	b.wait("br0 there p0+ p1+")
	b.watch(func(s model.SwitchState) {
		if l := line(s); strings.Contains(l, "FOUGHT") {
			t.Errorf("after one change by hand: %s", l)
		}
	})
	w.Vsctl("del-port p1 -- set port p0 tag=[] -- set bridge br0 fail_mode=secure")
	nstest.Eventually(t, 5*time.Second, func() string {
		if got := w.Vsctl("list-ports br0") + w.Vsctl("get port p0 tag") + w.Vsctl("get bridge br0 fail_mode"); got != "p0\np19[]" {
			return "br0 has " + got
		}
		return ""
	})
	b.wait("br0 there p0+ p1+")
	var fought atomic.Bool
	b.watch(func(s model.SwitchState) {
		if line(s) == "br0 there p0+ p1(FOUGHT: somebody else keeps changing it in the database; it is written again less and less often)" {
			fought.Store(true)
		}
	})
	start := time.Now()
	for i := 0; time.Since(start) < 3*time.Second; i++ {
		w.Vsctl("--if-exists del-port p1")
		time.Sleep(20 * time.Millisecond)
	}
	if n := strings.Count(b.said(), "ovsdb: wrote"); n < 3 || n > 5 {
		t.Errorf("%d transactions while somebody deleted a port 50 times a second", n)
	}
	if b.watch(nil); !fought.Load() {
		t.Error("nothing is said of a quarrel")
	}
	b.Set([]model.Switch{br, w.bridge("br1")}) // goes on at once beside the quarrel
	b.wait("br1 there")
	b.wait("br0 there p0+ p1+") // and ends when the other does
}

// TestMoves: ports and their names wander between bridges, bonds and roles in
// one transaction each.
func TestMoves(t *testing.T) {
	t.Parallel()
	moves(newWorld(t))
}

func moves(w *world) {
	t := w.t
	b := w.backend()
	bond := func(name string, members ...string) model.SwitchPort {
		return model.SwitchPort{Name: name, Type: "internal", Members: members}
	}
	for i, step := range []struct {
		want  []model.Switch
		lines []string
	}{
		{[]model.Switch{w.bridge("a", append(internal("x"), bond("bond", "m0", "m1"))...), w.bridge("b")}, []string{"a there bond+ x+", "b there"}},
		{[]model.Switch{w.bridge("a"), w.bridge("b", append(internal("m0", "x"), bond("bond", "m1"))...)}, []string{"a there", "b there bond+ m0+ x+"}},
		{[]model.Switch{w.bridge("b", bond("bond", "m0", "x"), internal("m1")[0])}, []string{"b there bond+ m1+", "a"}},
		{[]model.Switch{w.bridge("m1", internal("b")...)}, []string{"m1 there b+", "b"}},
		{[]model.Switch{w.bridge("b", internal("m1")...)}, []string{"b there m1+", "m1"}},
	} {
		for j := range step.want {
			slices.SortFunc(step.want[j].Ports, func(a, b model.SwitchPort) int { return compare(a.Name, b.Name) })
		}
		b.Set(step.want)
		for _, l := range step.lines {
			b.wait(l)
		}
		if got := w.config(); got != fmt.Sprint(i+1) {
			t.Errorf("step %d: %s transactions so far, not %d\n%s", i, got, i+1, b.said())
		}
	}
}

// TestNoVswitchd: without ovs-vswitchd the rows are written; what is in the
// database of its earlier life is not believed.
func TestNoVswitchd(t *testing.T) {
	t.Parallel()
	long(t)
	w := newWorld(t)
	b := w.backend()
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	b.wait("br0 there p0+")
	b.Close()
	w.Vswitchd.Kill()
	b = w.backend()
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	const silent = "(ovs-vswitchd does not answer (it is not connected to ovsdb-server: is it running?))"
	b.wait("br0 " + silent + " p0")
	b.Set([]model.Switch{w.bridge("br0", internal("p0", "p1")...)})
	b.wait("br0 " + silent + " p0 p1")
	if got := w.Vsctl("--no-wait list-ports br0"); got != "p0\np1" {
		t.Errorf("br0 has %q", got)
	}
	w.StartVswitchd()
	b.wait("br0 there p0+ p1+")
	w.Vswitchd.Kill()
	b.wait("br0 " + silent + "*")
	// One that is there and stands still.
	w.StartVswitchd()
	b.wait("br0 there p0+ p1+")
	w.Vswitchd.Signal(syscall.SIGSTOP)
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	b.wait("br0 (ovs-vswitchd does not answer (it has done configuration 2, not yet 3)) p0+")
	w.Vswitchd.Signal(syscall.SIGCONT)
	b.wait("br0 there p0+")
	if n := strings.Count(b.said(), "ovsdb: wrote"); n != 2 {
		t.Errorf("%d transactions, not 2", n)
	}
}

// TestForwarding: frames go through what was made, within their VLAN, also when
// nobody of ours is there any more.
func TestForwarding(t *testing.T) {
	t.Parallel()
	forwarding(newWorld(t))
}

func forwarding(w *world) {
	t := w.t
	hosts := []*nstest.NS{nstest.New(t), nstest.New(t), nstest.New(t)}
	ports := make([]model.SwitchPort, len(hosts))
	for i, h := range hosts {
		dev := fmt.Sprintf("sw%d", i)
		w.ns.Veth(dev, "eth0", h)
		w.ns.IP("link set " + dev + " up")
		h.IP(fmt.Sprintf("addr add 192.0.2.%d/24 dev eth0", i+1))
		ports[i] = model.SwitchPort{Name: dev, Tag: uint16(10 + 10*(i/2))} // 10, 10, 20
	}
	b := w.backend()
	b.Set([]model.Switch{w.bridge("br0", ports...)})
	b.wait("br0 there sw0+ sw1+ sw2+")
	ping := func(to string) bool {
		_, err := hosts[0].Try("ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", to)
		return err == nil
	}
	if !ping("192.0.2.2") {
		t.Error("nothing comes through within VLAN 10")
	}
	if ping("192.0.2.3") {
		t.Error("VLAN 20 is reached from VLAN 10")
	}
	ports[2].Tag = 10
	b.Set([]model.Switch{w.bridge("br0", ports...)})
	nstest.Eventually(t, waitTime, func() string {
		if ping("192.0.2.3") {
			return ""
		}
		return "nothing comes through to a port that has joined VLAN 10"
	})
	b.Close()
	if !ping("192.0.2.2") {
		t.Error("nothing comes through after Close")
	}
}
