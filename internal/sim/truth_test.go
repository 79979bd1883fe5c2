package sim

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "run only the truth test's sequence with this seed")
	countFlag = flag.Int("sim.sequences", 0, "how many sequences a truth test runs, 0 for its default")
	keepFlag  = flag.Bool("sim.all", false, "go on after the first failing sequence")
)

const (
	opsPerSequence = 30
	longSequences  = 500
	shortSequences = 25
	vmSequences    = 100 // the test kernel is slower
	patience       = 1500 * time.Millisecond
)

// TestTruth applies random operations to the simulated and to the real kernel.
// Every operation must have the same result in both, every object the same
// history of notifications, and in the end the dumps must be the same.
//
// What the real kernel does in work queues is waited for after every
// operation: RTM_GETLINK of each link runs its link watch at once, and address
// work, which needs no more than a scheduling (the settings leave no random
// delay), is awaited until as much was announced as the simulation says, for
// at most patience.
func TestTruth(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	n := longSequences
	if testing.Short() {
		n = shortSequences
	}
	runSequences(t, n, false, Options{})
}

// runSequences runs n random sequences, or what the flags say.
func runSequences(t *testing.T, n int, vlans bool, opts Options) {
	t.Helper()
	runGenerators(t, n, opts, func(seed uint64) *generator { return newGenerator(seed, vlans) })
}

// TestTruthSettings is TestTruth with many writes to the settings that are
// announced, some of which are copied to others in silence.
func TestTruthSettings(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	n := longSequences / 4
	if testing.Short() {
		n = shortSequences
	}
	runGenerators(t, n, Options{}, func(seed uint64) *generator {
		g := newGenerator(seed, false)
		g.settings = true
		return g
	})
}

func runGenerators(t *testing.T, n int, opts Options, generator func(seed uint64) *generator) {
	t.Helper()
	first := uint64(1)
	if *countFlag > 0 {
		n = *countFlag
	}
	if *seedFlag != 0 {
		first, n = *seedFlag, 1
	}
	failed := 0
	for i := range uint64(n) {
		// The simulated side of a seed is always the same: a lie differs every
		// time. What the real kernel does in its own time (duplicate address
		// detection, link watch, on a busy machine) may be late once.
		why := ""
		for range attempts {
			if why = runSequence(t, first+i, generator(first+i), opts); why == "" {
				break
			}
			t.Logf("differs, is tried again: %s", why[max(0, len(why)-300):])
		}
		if why != "" {
			t.Error(why)
			failed++
			if !*keepFlag {
				break
			}
		}
	}
	if failed > 0 {
		t.Logf("%d of %d sequences failed", failed, n)
	}
}

// both are the two worlds.
type both struct {
	k     *Kernel
	r     *real
	sim   history
	truth history
}

// attempts is how often a sequence is tried before a difference counts.
const attempts = 3

// runSequence says in which way the worlds differ; "" when they do not.
func runSequence(t *testing.T, seed uint64, g *generator, opts Options) (why string) {
	r := newReal(t)
	defer r.close()
	opts.Seed, opts.QueueBytes = seed, 64<<20
	b := &both{k: New(opts), r: r}
	b.k.Subscribe(groups...)
	var log []string
	report := func(format string, args ...any) {
		why = fmt.Sprintf("seed %d (rerun: -run %s$ -sim.seed %d):\n%s\n=> %s", seed, t.Name(), seed, strings.Join(log, "\n"), fmt.Sprintf(format, args...))
	}
	for i, op := range g.setup() {
		if diff := b.apply(op); diff != "" {
			report("setup %d, %s: %s", i, op.text, diff)
			return why
		}
	}
	for range opsPerSequence {
		op := g.next(b.k)
		diff := b.apply(op)
		log = append(log, "  "+op.text+"   "+op.outcome)
		if diff != "" {
			report("%s", diff)
			return why
		}
		if diff := b.histories(); diff != "" {
			report("%s", diff)
			return why
		}
	}
	if diff := b.dumps(); diff != "" {
		report("%s", diff)
		return why
	}
	return ""
}

// operation is one step, in both worlds.
type operation struct {
	text    string
	msg     []byte
	do      func(b *both) (sim, truth error)
	outcome string
	learn   uint32 // ifindex of a link whose MAC address the kernel makes up
}

func (b *both) apply(op *operation) (diff string) {
	var sim, truth error
	if op.msg != nil {
		// not assigned directly: a nil *rtnl.Error in an error is not nil
		if e := b.r.request(op.msg); e != nil {
			truth = e
		}
		if op.learn != 0 {
			b.k.macs = append(b.k.macs, b.r.mac(op.learn))
		}
		if e := b.k.Request(op.msg); e != nil {
			sim = e
		}
		b.k.macs = nil
	} else {
		sim, truth = op.do(b)
	}
	b.k.Tick(0)
	op.outcome = result(truth)
	b.collect()
	if s, r := result(sim), result(truth); s != r {
		return fmt.Sprintf("simulated: %s; real: %s", s, r)
	}
	return ""
}

// result is an error as it is compared: errno and extended acknowledgement.
func result(err error) string {
	switch e := err.(type) {
	case nil:
		return "ok"
	case *rtnl.Error:
		return fmt.Sprintf("%v %q", e.Errno, e.Message)
	case *fs.PathError:
		return e.Err.Error()
	}
	for _, errno := range []unix.Errno{unix.ENOENT, unix.EINVAL, unix.EIO} {
		if strings.Contains(err.Error(), errno.Error()) {
			return errno.Error()
		}
	}
	return err.Error()
}

// collect reads the notifications of both worlds.
func (b *both) collect() {
	for {
		msg, overrun, ok := b.k.Receive()
		if !ok {
			break
		}
		if overrun {
			b.r.t.Fatal("the simulated queue overran")
		}
		if err := b.sim.add(msg); err != nil {
			b.r.t.Fatal(err)
		}
	}
	var indices []uint32
	for _, l := range b.k.order {
		indices = append(indices, l.Index)
	}
	deadline := time.Now().Add(patience)
	for round := 0; ; round++ {
		b.r.syncLinks(indices)
		b.r.drain(func(datagram []byte) {
			if err := b.truth.add(datagram); err != nil {
				b.r.t.Fatal(err)
			}
		})
		if round > 0 && (b.truth.count >= b.sim.count || time.Now().After(deadline)) {
			return
		}
		if round > 3 {
			time.Sleep(200 * time.Microsecond)
		}
	}
}

// histories compares what was announced of each object.
func (b *both) histories() string {
	b.sim.fold()
	b.truth.fold()
	for _, object := range append(append([]string(nil), b.truth.order...), b.sim.order...) {
		if diff := difference(b.sim.objects[object], b.truth.objects[object]); diff != "" {
			return fmt.Sprintf("announced of %s:\n%s", object, diff)
		}
	}
	return ""
}

func (b *both) dumps() string {
	for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule, rtnl.KindNetconf} {
		truth, err := texts(b.r.dump(kind))
		if err != nil {
			return err.Error()
		}
		sim, err := texts(b.k.Dump(rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{})))
		if err != nil {
			return err.Error()
		}
		if diff := difference(sim, truth); diff != "" {
			return fmt.Sprintf("dump of %v:\n%s", kind, diff)
		}
	}
	return ""
}

// difference shows two lists of messages from where they part: the first
// pair in full, of the others one line.
func difference(sim, truth []string) string {
	at := 0
	for at < len(sim) && at < len(truth) && sim[at] == truth[at] {
		at++
	}
	if at == len(sim) && at == len(truth) {
		return ""
	}
	var b strings.Builder
	if at > 0 && at < len(truth) {
		p, r := strings.Fields(truth[at-1]), strings.Fields(truth[at])
		for i := range min(len(p), len(r)) {
			if p[i] != r[i] && len(p) == len(r) {
				fmt.Fprintf(&b, "    real changed %s to %s\n", p[i], r[i])
			}
		}
	}
	if at > 0 {
		fmt.Fprintf(&b, "    both %s\n", headline(truth[at-1]))
	}
	if at < len(sim) && at < len(truth) {
		b.WriteString(fieldDifference(sim[at], truth[at]))
	}
	for _, s := range sim[at:] {
		fmt.Fprintf(&b, "    sim  %s\n", headline(s))
	}
	for _, s := range truth[at:] {
		fmt.Fprintf(&b, "    real %s\n", headline(s))
	}
	return b.String()
}

// fieldDifference names the words in which two messages differ.
func fieldDifference(sim, truth string) string {
	var b strings.Builder
	s, r := strings.Fields(sim), strings.Fields(truth)
	for i := range min(len(s), len(r)) {
		if s[i] != r[i] && len(s) == len(r) {
			fmt.Fprintf(&b, "    sim has %s where real has %s\n", s[i], r[i])
		}
	}
	if len(s) == len(r) {
		return b.String()
	}
	for _, word := range s {
		if !slices.Contains(r, word) {
			fmt.Fprintf(&b, "    only sim has %s\n", word)
		}
	}
	for _, word := range r {
		if !slices.Contains(s, word) {
			fmt.Fprintf(&b, "    only real has %s\n", word)
		}
	}
	return b.String()
}

func headline(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	if at := strings.Index(line, " forward_delay"); at > 0 {
		line = line[:at]
	}
	return line
}

// TestTruthSilent holds that settings of a bridge that is down change without
// a notification, normalised, and show in the dump.
func TestTruthSilent(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, for network namespaces")
	}
	r := newReal(t)
	defer r.close()
	b := &both{k: New(Options{}), r: r}
	b.k.Subscribe(groups...)
	g := newGenerator(1, false)
	add := g.addBridge()
	if diff := b.apply(add); diff != "" {
		t.Fatal(diff)
	}
	announced := b.sim.count
	set := rtnl.LinkRequest{Link: rtnl.Link{Index: g.index, Kind: kindBridge, Bridge: rtnl.Bridge{AgeingTime: 12345, QueryInterval: 50}},
		Set: rtnl.BridgeAgeingTime | rtnl.BridgeQueryInterval}
	if diff := b.apply(request(unix.RTM_NEWLINK, 0, &set)); diff != "" {
		t.Fatal(diff)
	}
	if b.sim.count != announced || b.truth.count != announced {
		t.Errorf("announced before %d, then simulated %d, real %d", announced, b.sim.count, b.truth.count)
	}
	if diff := b.dumps(); diff != "" {
		t.Error(diff)
	}
	if br := b.k.info(b.k.links[g.index]).Bridge; br.AgeingTime != 12344 || br.QueryInterval != 100 {
		t.Errorf("ageing time %d, want 12344; query interval %d, want 100", br.AgeingTime, br.QueryInterval)
	}
}
