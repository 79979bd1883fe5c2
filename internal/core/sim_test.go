package core_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/internal/sim"
	"netbraid/rtnl"
	"netbraid/uci"
)

// The simulation: a core on a simulated kernel, with everything that comes
// between in random order, faults, and others who change things. The
// invariants are checked after every step. One seed gives one run.

var simSeed = flag.Uint64("core.seed", 0, "run only this seed of the simulation, with a trace")

func simSeeds(t *testing.T) int {
	if s := os.Getenv("SEEDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatalf("SEEDS: %v", err)
		}
		return n
	}
	return 1000
}

func TestSimulation(t *testing.T) {
	if *simSeed != 0 {
		if err := simulate(*simSeed, func(s string) { t.Log(s) }); err != nil {
			t.Fatal(err)
		}
		return
	}
	n := simSeeds(t)
	for seed := uint64(1); seed <= uint64(n); seed++ {
		if err := simulate(seed, nil); err != nil {
			t.Fatalf("seed %d: %v\nrun again with: go test ./internal/core -run TestSimulation -core.seed %d -v", seed, err, seed)
		}
	}
	t.Logf("%d seeds", n)
}

// TestSimulationIsDeterministic runs one seed twice and compares the traces.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		var a, b []string
		if err := simulate(seed, func(s string) { a = append(a, s) }); err != nil {
			t.Fatal(err)
		}
		if err := simulate(seed, func(s string) { b = append(b, s) }); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(a, b) {
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					t.Fatalf("seed %d: the traces differ at %d:\n%s\n%s", seed, i, a[i], b[min(i, len(b)-1)])
				}
			}
		}
	}
}

type job func()

type world struct {
	rng    *rand.Rand
	now    time.Time
	kern   *sim.Kernel
	core   *core.Core
	trace  func(string)
	events []core.Event // on their way to the core, in order
	jobs   []job        // of the kernel's writer, in order
	dumps  []job
	epoch  uint32
	faults bool
	made   map[any]bool // keys that we have written
	// foreign are keys of others, that we must never touch.
	foreign map[model.AddrKey]bool
	config  int
	steps   int
	writes  int
	err     error
	owned   *plan.Owned // as written down: survives a crash
	outside             // programs of protocol handlers
	subnets *core.SubnetMemory

	shown        string // what is shown of interfaces, and the core's version then
	shownVersion uint64
	look         bool // whether that is held in this run
}

func (w *world) note(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf("%s %s", w.now.Format("05.000"), fmt.Sprintf(format, args...)))
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
		w.note("FAIL %v", w.err)
	}
}

func simulate(seed uint64, trace func(string)) error {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 7)), now: time.Unix(1000, 0), trace: trace, faults: true,
		kern: sim.New(sim.Options{Seed: seed, QueueBytes: 16 << 10}),
		made: map[any]bool{}, foreign: map[model.AddrKey]bool{}, owned: plan.NewOwned(),
	}
	for _, n := range []string{"eth0", "eth1", "eth2"} {
		if _, err := w.kern.AddHardware(n); err != nil {
			return err
		}
		w.kern.SetCarrier(n, true)
	}
	w.look = seed%16 == 1
	w.boot(seed)
	for range 150 {
		w.random()
		if w.err != nil {
			return w.err
		}
	}
	w.faults = false
	w.settle()
	return w.err
}

// boot starts a core, as a new process would.
func (w *world) boot(seed uint64) {
	w.core = core.New(core.Options{Owned: w.owned, Subnets: w.subnets, Seed: seed, Protos: w.protos})
	w.owned = plan.NewOwned()
	for _, r := range w.core.Planner().Owned().Snapshot() {
		w.owned.Apply(r)
	}
	w.events, w.jobs, w.dumps = nil, nil, nil
	w.shown = ""
	w.step(core.Tick{})
	w.step(core.Configured{Config: w.choose(w.config)})
}

func (w *world) step(ev core.Event) {
	w.steps++
	for _, a := range w.core.Step(w.now, ev) {
		w.do(a)
	}
	if err := w.core.CheckInvariants(); err != nil {
		w.fail("after %T: %v", ev, err)
	}
	w.checkShown(ev)
}

func (w *world) do(a core.Action) {
	switch a := a.(type) {
	case core.Subscribe:
		w.jobs = append(w.jobs, func() {
			w.kern.Subscribe(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE,
				unix.RTNLGRP_IPV6_ROUTE, unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE, unix.RTNLGRP_NEIGH,
				unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF)
			w.epoch = a.Epoch
			w.events = append(w.events, core.Subscribed{Epoch: a.Epoch})
		})
	case core.Dump:
		w.dumps = append(w.dumps, func() { w.dump(a) })
	case core.Record:
		for _, r := range a.Records {
			w.owned.Apply(r)
		}
	case core.SaveSubnets:
		w.subnets = &a.Memory
	case core.Write:
		w.write(a.Ops)
	case core.ReadSysctl:
		w.jobs = append(w.jobs, func() {
			for i, k := range a.Keys {
				v, err := w.kern.ReadSysctl("/proc/sys/net/" + k.Path(a.Devices[i]))
				w.events = append(w.events, core.SysctlValue{Key: k, Value: v, Err: err})
			}
		})
	case core.Publish:
		w.note("%s notice %d", a.Interface, a.Notice)
	default:
		w.more(a)
	}
}

func (w *world) dump(a core.Dump) {
	if w.faults {
		switch w.rng.IntN(12) {
		case 0:
			w.kern.InterruptDump()
		case 1:
			w.kern.TruncateDump()
		case 2:
			w.kern.FailNext(isDump, unix.ENOBUFS)
		}
	}
	done := core.DumpDone{Epoch: a.Epoch, Kind: a.Kind}
	for _, b := range w.kern.Dump(rtnl.AppendDumpRequest(nil, a.Kind, 1, rtnl.Filter{Family: a.Family})) {
		w.events = append(w.events, core.Dumped{Epoch: a.Epoch, Data: b})
		for rest := b; len(rest) > 0; {
			h, body, next, err := rtnl.NextMessage(rest)
			if err != nil {
				break
			}
			if h.Flags&unix.NLM_F_DUMP_INTR != 0 {
				done.Interrupted = true
			}
			if h.Type == unix.NLMSG_DONE {
				errno, _, _ := rtnl.ParseError(body)
				done.Complete = errno == 0
			}
			rest = next
		}
	}
	w.listen(1 << 30) // as the shell: what was announced before the dump's end comes before it
	w.events = append(w.events, done)
}

func isDump(h rtnl.Header, _ []byte) bool { return h.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP }

func (w *world) write(ops []*plan.Op) {
	w.writes += len(ops)
	seen := map[model.AddrKey]bool{}
	for k := range w.foreign {
		seen[k] = w.core.Mirror().Addr(k) != nil
	}
	w.jobs = append(w.jobs, func() {
		var res []plan.Result
		var failed []*plan.Op
		for _, stage := range plan.Stages(ops) {
			before := failed
			for _, op := range stage {
				r := w.execute(op, before)
				if op.Kind == plan.AddrDel {
					// What came into the subnet after the decision cannot be
					// protected: it goes as a secondary.
					w.prune(func(k model.AddrKey) bool { return !seen[k] })
				}
				w.note("%s: %v", op, r.Err)
				if r.Err != nil {
					failed = append(failed, op)
				}
				res = append(res, r)
			}
		}
		w.listen(1 << 30)
		w.events = append(w.events, core.Wrote{Results: res})
	})
}

func (w *world) execute(op *plan.Op, failed []*plan.Op) plan.Result {
	r := plan.Result{ID: op.ID}
	w.guard(op)
	switch {
	case plan.Blocked(op, failed):
		r.Err = plan.ErrPredecessor
	case w.faults && w.rng.IntN(25) == 0:
		r.Err = &rtnl.Error{Errno: []unix.Errno{unix.ENOMEM, unix.EBUSY, unix.EINVAL, unix.EPERM}[w.rng.IntN(4)]}
	case op.Kind == plan.SysctlSet:
		path := "/proc/sys/net/" + op.Sysctl.Path(op.Device)
		if r.Err = w.kern.WriteSysctl(path, op.Value); r.Err == nil {
			r.Value, r.Err = w.kern.ReadSysctl(path)
		}
	default:
		if err := w.kern.Request(op.Message()); err != nil && !plan.Gone(op, err) {
			r.Err = err
		}
	}
	if r.Err == nil {
		w.made[op.Key] = true
	}
	if op.Kind == plan.LinkDelete {
		w.prune(all) // what others had on a link of ours goes with it
	}
	return r
}

func all(model.AddrKey) bool { return true }

// prune forgets the foreign addresses that are no longer there, those that
// which selects.
func (w *world) prune(which func(model.AddrKey) bool) {
	if len(w.foreign) == 0 {
		return
	}
	there := map[model.AddrKey]bool{}
	var a rtnl.Addr
	for _, b := range w.kern.Dump(rtnl.AppendDumpRequest(nil, rtnl.KindAddr, 1, rtnl.Filter{})) {
		for len(b) > 0 {
			h, body, rest, err := rtnl.NextMessage(b)
			if err != nil {
				break
			}
			if h.Type == unix.RTM_NEWADDR && rtnl.DecodeAddr(body, &a) == nil {
				there[model.KeyOfAddr(0, &a)] = true
			}
			b = rest
		}
	}
	for k := range w.foreign {
		if !there[k] && which(k) {
			delete(w.foreign, k)
		}
	}
}

// guard fails the run when an operation touches what is not ours.
func (w *world) guard(op *plan.Op) {
	if k, ok := op.Key.(model.AddrKey); ok && w.foreign[k] {
		w.fail("an address of somebody else is touched: %s", op)
	}
	if (op.Kind == plan.AddrDel || op.Kind == plan.RouteDel) && !w.made[op.Key] {
		w.fail("something is deleted that we have not made: %s", op)
	}
}

// listen moves up to n notifications to the core's queue.
func (w *world) listen(n int) {
	for range n {
		b, overrun, ok := w.kern.Receive()
		if overrun {
			w.note("overrun")
			w.events = append(w.events, core.Lost{Epoch: w.epoch})
			return
		}
		if !ok {
			return
		}
		w.events = append(w.events, core.Notified{Epoch: w.epoch, Data: append([]byte(nil), b...)})
	}
}

// random does one random thing.
func (w *world) random() {
	switch p := w.rng.IntN(100); {
	case p < 35:
		w.feed(1 + w.rng.IntN(5))
	case p < 55:
		w.runJob()
	case p < 65:
		w.listen(1 + w.rng.IntN(4))
	case p < 75:
		w.advance(time.Duration(w.rng.IntN(1500)) * time.Millisecond)
	case p < 90:
		w.meddle()
		w.prune(all) // a primary that somebody deletes takes its secondaries along
	case p < 93:
		w.command()
	case p < 96:
		w.ask()
	case p < 98:
		w.config = w.rng.IntN(len(simConfigs))
		w.note("configuration %d", w.config)
		w.step(core.Configured{Config: w.choose(w.config)})
	case p < 99:
		w.kern.Overflow()
	default:
		w.note("killed and started again")
		w.boot(w.rng.Uint64())
	}
}

func (w *world) feed(n int) {
	for ; n > 0 && len(w.events) > 0; n-- {
		ev := w.events[0]
		w.events = w.events[1:]
		w.step(ev)
	}
}

func (w *world) runJob() {
	if len(w.dumps) > 0 && (len(w.jobs) == 0 || w.rng.IntN(2) == 0) {
		j := w.dumps[0]
		w.dumps = w.dumps[1:]
		j()
		return
	}
	if len(w.jobs) > 0 {
		j := w.jobs[0]
		w.jobs = w.jobs[1:]
		j()
	}
}

func (w *world) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.kern.Tick(d)
	w.step(core.Tick{})
}

func (w *world) command() {
	v := []core.Verb{core.VerbUp, core.VerbDown, core.VerbUp, core.VerbRestart}[w.rng.IntN(4)]
	n := []string{"lan", "wan", "alias", "two"}[w.rng.IntN(4)]
	w.note("command %d %s", v, n)
	w.step(core.Command{ID: 1, Verb: v, Interface: n})
}

func (w *world) request(msg []byte) { w.kern.Request(msg) }

// meddle does what somebody else could do.
func (w *world) meddle() {
	dev := []string{"eth0", "eth1", "eth2", "br-lan"}[w.rng.IntN(4)]
	index, ok := w.kern.Index(dev)
	switch w.rng.IntN(8) {
	case 0:
		w.note("carrier of %s", dev)
		w.kern.SetCarrier(dev, w.rng.IntN(3) > 0)
	case 1, 2:
		if ok { // up or down
			r := rtnl.LinkRequest{Link: rtnl.Link{Index: index}, Set: rtnl.LinkUp}
			if w.rng.IntN(2) == 0 {
				r.Flags = unix.IFF_UP
			}
			w.note("%s up %v", dev, r.Flags != 0)
			w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &r))
		}
	case 3:
		if ok && dev != "br-lan" {
			w.note("%s removed", dev)
			w.kern.RemoveHardware(dev)
			for k := range w.foreign {
				if k.Index == index {
					delete(w.foreign, k)
				}
			}
		} else if !ok && dev != "br-lan" {
			w.note("%s comes", dev)
			w.kern.AddHardware(dev)
			w.kern.SetCarrier(dev, true)
		}
	case 4: // an address of ours goes
		for _, a := range w.core.Mirror().AddrsOn(index) {
			if k := model.KeyOfAddr(0, &a); !w.foreign[k] && a.Local.Is4() {
				w.note("somebody deletes %s on %s", a.Local, dev)
				w.request(rtnl.AppendAddr(nil, unix.RTM_DELADDR, unix.NLM_F_REQUEST, 0, &a))
				break
			}
		}
	case 5: // a foreign address comes
		if ok {
			a := rtnl.Addr{Index: index, Family: unix.AF_INET, PrefixLen: 24, Local: foreignIP(w.rng.IntN(200)),
				Preferred: rtnl.LifetimeForever, Valid: rtnl.LifetimeForever}
			if w.kern.Request(rtnl.AppendAddr(nil, unix.RTM_NEWADDR, unix.NLM_F_REQUEST|unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &a)) == nil {
				w.foreign[model.KeyOfAddr(0, &a)] = true
				w.note("foreign %s on %s", a.Local, dev)
			}
		}
	case 6: // an MTU is changed
		if ok {
			r := rtnl.LinkRequest{Link: rtnl.Link{Index: index, MTU: 1300 + uint32(w.rng.IntN(200))}, Set: rtnl.LinkMTU}
			w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &r))
		}
	case 7: // a port leaves its bridge
		if ok && dev != "br-lan" {
			r := rtnl.LinkRequest{Link: rtnl.Link{Index: index}, Set: rtnl.LinkMaster}
			w.request(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_REQUEST, 0, &r))
		}
	}
}

// settle lets everything come to rest and compares the kernel with what is
// wanted.
func (w *world) settle() {
	last := false // the kernel has had its time for duplicate address detection
	for range 4000 {
		switch {
		case w.err != nil:
			return
		case len(w.events) > 0:
			w.feed(1)
		case len(w.jobs)+len(w.dumps) > 0:
			w.runJob()
		default:
			before := len(w.events)
			w.listen(1000)
			if len(w.events) != before {
				continue
			}
			at := w.core.Deadline()
			rest := w.core.Planner().Idle() && len(w.core.Planner().Failures("")) == 0 && w.core.IsSettled() && w.calm()
			if rest || at.IsZero() {
				if last {
					w.compare()
					return
				}
				last = true
				w.advance(5 * time.Second)
				continue
			}
			w.advance(max(at.Sub(w.now), time.Millisecond))
		}
	}
	w.fail("does not come to rest: %v", w.core.Planner().Failures(""))
}

// calm tells whether no interface waits for a retry.
func (w *world) calm() bool {
	for _, n := range w.core.Interfaces() {
		if !w.core.Interface(n).RetryAt().Before(w.now) {
			return false
		}
	}
	return true
}

// compare holds the mirror against a fresh dump, and the kernel against what
// is wanted and what is ours.
func (w *world) compare() {
	if err := w.core.Planner().CheckDiff(); err != nil {
		w.fail("%v", err)
	}
	if f := w.core.Planner().Failures(""); len(f) > 0 {
		w.fail("failures remain without any cause: %v", f)
	}
	if got, want := lasting(timeless(mirrorLines(w.core))), lasting(timeless(w.dumpLines())); got != want {
		w.fail("the mirror differs from the kernel:\n%s", lineDiff(got, want))
	}
	links, objects := w.core.Planner().Wanted()
	for _, l := range links {
		have := w.core.Mirror().LinkByName(l.Name)
		if have == nil || l.Set&rtnl.LinkUp != 0 && have.Flags&unix.IFF_UP == 0 {
			w.fail("link %s is wanted up and is not", l.Name)
		}
	}
	wanted := map[model.AddrKey]bool{}
	for _, o := range objects {
		for _, a := range o.Addrs {
			k := model.KeyOfAddr(0, &a)
			wanted[k] = true
			if w.core.Mirror().Addr(k) == nil {
				w.fail("address %s is wanted and is not there", a.Local)
			}
		}
		for _, n := range o.Neighs {
			if have := w.core.Mirror().Neigh(n.Index, n.Dst); have == nil || have.LLAddr != n.LLAddr {
				w.fail("neighbour %s is wanted and is not there", n.Dst)
			}
		}
		for _, r := range o.Routes {
			if len(w.core.Mirror().Routes(model.KeyOfRoute(0, &r))) == 0 {
				w.fail("route %s is wanted and is not there", r.Dst)
			}
		}
	}
	for k := range w.core.Planner().Owned().Addrs {
		if !wanted[k] {
			w.fail("address %v is ours, not wanted, and still there", k)
		}
	}
	for k := range w.foreign {
		if w.core.Mirror().Addr(k) == nil && w.core.Mirror().Link(k.Index) != nil {
			w.fail("the foreign address %v has gone", k.Local)
		}
	}
}

var lifetimes = regexp.MustCompile(` valid \d+s`)
var preferred = regexp.MustCompile(` preferred [1-9]\d*s`)

// timeless leaves out the seconds that lifetimes have left, and whether they
// have made an address deprecated, which nothing announces.
func timeless(lines string) string {
	lines = strings.ReplaceAll(preferred.ReplaceAllString(lifetimes.ReplaceAllString(lines, " valid"), " preferred"), " preferred 0s", " preferred")
	lines = strings.ReplaceAll(lines, " deprecated", "")
	// Nor does anything announce a change before duplicate address detection
	// has ended.
	return tentative.ReplaceAllString(lines, "$1")
}

var tentative = regexp.MustCompile(`(?m)(^addr .* tentative.*) valid preferred$`)

// lineDiff lists the lines that only one has: "- mirror", "+ kernel".
func lineDiff(mirror, kernel string) string {
	var out []string
	a, b := strings.Split(mirror, "\n"), strings.Split(kernel, "\n")
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+ "+l)
		}
	}
	return strings.Join(out, "\n")
}

func mirrorLines(c *core.Core) string {
	var lines []string
	c.Mirror().Each(
		func(l *rtnl.Link) { lines = append(lines, rtnl.FormatLink(l, nil)) },
		func(a *rtnl.Addr) { lines = append(lines, rtnl.FormatAddr(a, nil)) },
		func(r *rtnl.Route) { lines = append(lines, rtnl.FormatRoute(r, nil)) },
		func(r *rtnl.Rule) { lines = append(lines, rtnl.FormatRule(r, nil)) })
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func (w *world) dumpLines() string {
	var lines []string
	for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule} {
		for _, b := range w.kern.Dump(rtnl.AppendDumpRequest(nil, kind, 1, rtnl.Filter{})) {
			for len(b) > 0 {
				h, body, rest, err := rtnl.NextMessage(b)
				if err != nil || h.Type == unix.NLMSG_DONE {
					break
				}
				lines = append(lines, strings.TrimPrefix(rtnl.FormatMessage(h, body, nil), "+ "))
				b = rest
			}
		}
	}
	slices.Sort(lines)
	// What the mirror leaves out on purpose: see package mirror, apply.go.
	return strings.NewReplacer(" linkdown", "", " dead", "", " down carrier", " down").Replace(strings.Join(lines, "\n") + "\n")
}

// simConfigs are the configurations between which a run goes.
var simConfigs = []string{`
config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth0'
	list ports 'eth1'
config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
	option ip6assign '60'
	option ip6ifaceid 'eui64'
config interface 'wan'
	option device 'eth2'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option gateway '203.0.113.1'
	option ip6addr '2001:db8:1::2/64'
	option ip6gw '2001:db8:1::1'
	list ip6prefix '2001:db8:100::/56'
config interface 'alias'
	option device '@lan'
	option proto 'static'
	option ipaddr '192.168.50.1/24'
	option ip6assign '64'
config globals 'globals'
	option ula_prefix 'fd12:3456:789a::/48'
config neighbor
	option interface 'lan'
	option ipaddr '192.168.1.9'
	option mac '02:00:00:00:00:09'
config neighbor6
	option interface 'wan'
	option ipaddr '2001:db8:1::9'
	option mac '02:00:00:00:00:69'
	option router '1'
`, `
config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth1'
	option mtu '1400'
config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	option ipaddr '192.168.1.7/24'
	option ip6assign '62'
	option ip6ifaceid 'random'
	option force_link '0'
config interface 'wan'
	option device 'eth2'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option metric '10'
	option ip6assign '62'
	option ip6hint '4'
	list ip6prefix '2001:db8:100::/56,30,90'
	list ip6prefix '2001:db8:200::/62'
	option mtu '1450'
config interface 'two'
	option device 'eth0'
	option proto 'static'
	list ipaddr '10.0.0.1/24'
	list ipaddr '10.0.0.2/24'
	option force_link '0'
	option depends 'lan'
config neighbor
	option interface 'lan'
	option ipaddr '192.168.1.9'
	option mac '02:00:00:00:00:19'
config route
	option interface 'two'
	option target '198.51.100.0/24'
	option gateway '10.0.0.9'
	option source '10.0.0.2'
`, `
config interface 'two'
	option device 'eth0'
	option proto 'static'
	list ipaddr '10.0.0.2/24'
	option ip4table '100'
config globals 'globals'
	option ula_prefix 'fd12:3456:789a::/48'
config interface 'wan'
	option device 'eth2'
	option proto 'none'
	option ip6assign '64'
	list ip6class 'local'
config interface 'alias'
	option device '@two'
	option proto 'static'
	list depends 'wan'
	option ipaddr '10.0.0.3/24'
`}

var parsedConfigs = map[int]*config.Config{}

func simConfig(i int) *config.Config {
	if c := parsedConfigs[i]; c != nil {
		return c
	}
	pkg, err := uci.Parse("network", []byte(simConfigs[i]), uci.Options{})
	if err != nil {
		panic(err)
	}
	c, problems := config.Parse(pkg, "network", config.Options{})
	if config.HasErrors(problems) {
		panic(fmt.Sprint(problems))
	}
	parsedConfigs[i] = c
	return c
}
