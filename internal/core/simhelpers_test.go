package core_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/internal/proto"
	"netbraid/internal/sim"
	"netbraid/uci"
)

// outside is what a world has of programs of protocol handlers; nothing in the
// plain simulation.
type outside struct {
	protos  proto.Registry
	configs []*config.Config
	running map[core.Program]*core.Spawn
	// well: programs do what they are told, at once.
	well   bool
	spawns int
}

var seconds = regexp.MustCompile(` (valid|preferred|expires) \d+s`)

// lasting leaves out lifetimes, whose passing the kernel does not
// announce.
func lasting(lines string) string { return seconds.ReplaceAllString(lines, "") }

func (w *world) choose(i int) *config.Config {
	if len(w.configs) > 0 {
		return w.configs[i%len(w.configs)]
	}
	return simConfig(i)
}

// more does what is about programs.
func (w *world) more(a core.Action) {
	switch a := a.(type) {
	case core.Spawn:
		w.spawns++
		w.note("spawn %v %v", a.Program, a.Args)
		for p := range w.running {
			if p.Interface == a.Interface && p.Slot == a.Slot {
				if p.Slot == proto.Script {
					w.fail("a second script of %s", p.Interface)
				}
				w.exit(p, -1, 15) // it is replaced
			}
		}
		w.running[a.Program] = &a
		if w.well && a.Slot == proto.Script {
			w.behave(&a)
		}
	case core.Kill:
		if w.running[a.Program] == nil {
			return // it has ended meanwhile
		}
		w.note("kill %v %d", a.Program, a.Signal)
		if a.Signal == 9 || w.well || w.rng.IntN(2) == 0 {
			w.exit(a.Program, -1, a.Signal)
		}
	}
}

// exit ends a program; the core hears of it later.
func (w *world) exit(p core.Program, code, signal int) {
	delete(w.running, p)
	w.events = append(w.events, core.Exited{Program: p, Exit: proto.Exit{Code: code, Signal: signal}})
}

// behave is a script as it should be.
func (w *world) behave(s *core.Spawn) {
	switch s.Args[2] {
	case "setup", "renew", "restart":
		if s.Args[2] == "setup" && s.Interface == "task" {
			w.tell(s.Interface, 1, proto.Field{Name: "command", Value: []any{"sleep"}})
		}
		w.update(s.Interface, 0)
	}
	w.exit(s.Program, 0, 0)
}

func (w *world) tell(name string, action int64, more ...proto.Field) {
	w.events = append(w.events, core.Command{ID: 2, Do: &core.Notify{Interface: name,
		Message: &proto.Notify{Fields: append([]proto.Field{{Name: "action", Value: action}}, more...)}}})
}

// update tells addresses and a route, of variant n.
func (w *world) update(name string, n int) {
	ip := netip.AddrFrom4([4]byte{10, byte(100 + len(name)), byte(n), 2}).String()
	f := []proto.Field{{Name: "link-up", Value: true},
		{Name: "ipaddr", Value: []any{[]proto.Field{{Name: "ipaddr", Value: ip}, {Name: "mask", Value: "24"}}}},
		{Name: "ip6addr", Value: []any{[]proto.Field{{Name: "ipaddr", Value: fmt.Sprintf("2001:db8:%d::%d", len(name), n+1)},
			{Name: "mask", Value: "64"}, {Name: "preferred", Value: int64(7200)}, {Name: "valid", Value: int64(14400)}}}},
		{Name: "routes", Value: []any{[]proto.Field{{Name: "target", Value: "198.18.0.0"}, {Name: "netmask", Value: "15"},
			{Name: "metric", Value: int64(len(name))}}}}}
	if name == "nodev" {
		f = append(f, proto.Field{Name: "ifname", Value: "eth1"})
	}
	w.tell(name, 0, f...)
}

func (w *world) programsRunning() (list []core.Program) {
	for p := range w.running {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b core.Program) int { return int(a.Generation) - int(b.Generation) })
	return list
}

// programs do one random thing.
func (w *world) programs() {
	list := w.programsRunning()
	if w.rng.IntN(12) == 0 || len(list) == 0 {
		w.words([]string{"script", "task", "nodev", "dep", "lan", "none"}[w.rng.IntN(6)])
		return
	}
	p := list[w.rng.IntN(len(list))]
	switch w.rng.IntN(4) {
	case 0:
		w.exit(p, w.rng.IntN(3), 0)
	case 1:
		w.exit(p, -1, 9)
	default:
		w.words(p.Interface)
	}
	if w.rng.IntN(20) == 0 { // of a program that nobody waits for
		w.events = append(w.events, core.Exited{Program: core.Program{Interface: p.Interface, Slot: p.Slot, Generation: p.Generation + 1000*uint64(w.rng.IntN(2)) - 1}})
	}
}

// words is a random message.
func (w *world) words(name string) {
	switch w.rng.IntN(11) {
	case 0, 1, 2:
		w.update(name, w.rng.IntN(3))
	case 3:
		w.tell(name, 0, proto.Field{Name: "link-up", Value: false})
	case 4:
		w.tell(name, 1, proto.Field{Name: "command", Value: []any{"sleep"}})
	case 5:
		w.tell(name, 2)
	case 6:
		w.tell(name, 3, proto.Field{Name: "error", Value: []any{"SOME_ERROR"}})
	case 7:
		w.tell(name, 6, proto.Field{Name: "host", Value: []string{"192.168.1.77", "203.0.113.77", "10.103.0.5"}[w.rng.IntN(3)]})
	case 8:
		w.tell(name, 7)
	case 9:
		w.tell(name, 0, proto.Field{Name: "link-up", Value: true}, proto.Field{Name: "keep", Value: true}, proto.Field{Name: "ifname", Value: "nothing0"})
	case 10:
		w.tell(name, int64(w.rng.IntN(10)))
	}
}

var handlerConfigs = []string{`
config interface 'lan'
	option device 'eth0'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
	option gateway '192.168.1.254'
config interface 'script'
	option device 'eth1'
	option proto 'ext'
	option checkup_interval '2'
config interface 'task'
	option device 'eth2'
	option proto 'ext'
	option metric '5'
config interface 'nodev'
	option proto 'extnodev'
config interface 'dep'
	option device '@lan'
	option proto 'ext'
`, `
config interface 'lan'
	option device 'eth0'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
config interface 'script'
	option device 'eth2'
	option proto 'ext'
	option x '5'
config interface 'dep'
	option device '@lan'
	option proto 'ext'
	option x '7'
`, `
config interface 'task'
	option device 'eth2'
	option proto 'static'
	option ipaddr '10.9.9.9/24'
config interface 'nodev'
	option proto 'extnodev'
	option defaultroute '0'
`}

// handlers gives the protocols of the simulation and its configurations.
func handlers(t testing.TB) outside {
	t.Helper()
	o := outside{protos: proto.Builtin(), running: map[core.Program]*core.Spawn{}}
	for _, d := range []string{`{"name":"ext","config":[["x",5]],"no-proto-task":true,"renew-handler":true}`,
		`{"name":"extnodev","no-device":true,"available":true,"no-proto-task":true,"restart-handler":true,"teardown-on-l3-link-down":true}`} {
		s, err := proto.Describe([]byte(d), "./x.sh", "/x")
		if err != nil {
			t.Fatal(err)
		}
		o.protos[s.Name] = s
	}
	known := map[string]config.Proto{}
	for n, s := range o.protos {
		known[n] = s.Config()
	}
	for _, text := range handlerConfigs {
		pkg, err := uci.Parse("network", []byte(text), uci.Options{})
		if err != nil {
			t.Fatal(err)
		}
		c, problems := config.Parse(pkg, "network", config.Options{Protos: known})
		if config.HasErrors(problems) {
			t.Fatal(problems)
		}
		o.configs = append(o.configs, c)
	}
	return o
}

// TestSimulationOfHandlers: programs that end, are killed, tell anything at any
// time, while links, configuration and daemon come and go. The invariants (one
// of them: what is down has no program, timer or address) hold after every
// step; in the end, when programs do as they are told, everything comes to rest
// as it should be.
func TestSimulationOfHandlers(t *testing.T) {
	n := simSeeds(t)
	o := handlers(t)
	spawns := 0
	for seed := uint64(1); seed <= uint64(n); seed++ {
		if *simSeed != 0 {
			seed = *simSeed
		}
		var trace func(string)
		if *simSeed != 0 {
			trace = func(s string) { t.Log(s) }
		}
		w, err := simulateHandlers(seed, o, trace)
		if err != nil {
			t.Fatalf("seed %d: %v\nrun again with: go test ./internal/core -run TestSimulationOfHandlers -core.seed %d -v", seed, err, seed)
		}
		spawns += w.spawns
		if *simSeed != 0 {
			return
		}
	}
	if spawns < 5*n {
		t.Errorf("%d programs in %d seeds: next to nothing happens", spawns, n)
	}
}

func simulateHandlers(seed uint64, o outside, trace func(string)) (*world, error) {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 9)), now: time.Unix(1000, 0), trace: trace, faults: true,
		kern: sim.New(sim.Options{Seed: seed, QueueBytes: 16 << 10}),
		made: map[any]bool{}, foreign: map[model.AddrKey]bool{}, owned: plan.NewOwned(),
	}
	w.outside = o
	w.running = map[core.Program]*core.Spawn{}
	for _, n := range []string{"eth0", "eth1", "eth2"} {
		if _, err := w.kern.AddHardware(n); err != nil {
			return w, err
		}
		w.kern.SetCarrier(n, true)
	}
	w.boot(seed)
	for range 200 {
		before := w.core
		if w.rng.IntN(3) == 0 {
			w.programs()
		} else {
			w.random()
		}
		if w.core != before {
			clear(w.running) // the new daemon has ended what the old one left
		}
		if w.err != nil {
			return w, w.err
		}
	}
	w.faults, w.well = false, true
	for _, p := range w.programsRunning() {
		if p.Slot == proto.Script {
			w.behave(w.running[p])
		}
	}
	if _, there := w.kern.Index("eth1"); !there { // nodev needs it
		if _, err := w.kern.AddHardware("eth1"); err != nil {
			return w, err
		}
	}
	yes, no := true, false
	for _, n := range []string{"eth0", "eth1", "eth2"} { // what callers have said holds nothing up
		w.step(core.Command{ID: 3, Do: &core.SetDeviceState{Device: n, Defer: &no, Auth: &yes}})
	}
	for _, n := range []string{"script", "task", "nodev", "dep"} {
		w.update(n, 0) // whoever waits for it gets it
	}
	w.settle()
	if w.err == nil {
		w.err = w.rested()
	}
	return w, w.err
}

// rested holds what must be so when everything has come to rest.
func (w *world) rested() error {
	for _, n := range w.core.Interfaces() {
		m := w.core.Interface(n)
		if s := m.State(); s != iface.Up && s != iface.Down {
			return fmt.Errorf("interface %s is %s at rest", n, s)
		}
		if m.State() == iface.Down && m.Autostart && m.Available() && m.Device() != "" {
			if _, up, link, _ := deviceState(w, m.Device()); up && (link || m.Config.ForceLink) {
				return fmt.Errorf("interface %s is down at rest with nothing in its way: %v", n, m.Errors())
			}
		}
	}
	for p := range w.running {
		if m := w.core.Interface(p.Interface); m == nil || m.State() != iface.Up {
			return fmt.Errorf("program %v runs at rest", p)
		}
	}
	return nil
}

func deviceState(w *world, dev string) (present, up, link bool, index uint32) {
	s := w.core.Graph().State(dev)
	return s.Present, s.Up, s.Link, s.Ifindex
}
