package netns

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// TestOwnNamespace: companions can be in the daemon's own namespace. The test
// runs itself in one, for it must not make links in that of the machine.
func TestOwnNamespace(t *testing.T) {
	const child = "NETBRAID_OWN_NAMESPACE"
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestOwnNamespace$", "-test.v")
		cmd.Env = append(os.Environ(), child+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("in a namespace of its own: %v\n%s", err, out)
		}
		return
	}
	own, err := rtnl.OpenNS("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	l := &lab{world: newWorld(t), a: nstest.New(t), more: make(chan struct{}, 1)}
	l.link("phya", l.a)
	l.connect()
	defer func() { l.dp.Close() }()
	l.phya = l.index("phya")
	add := l.pairAdd(l.phya, "hosta")
	add.Pair.NetNS = ""
	p := l.write(up(l.phya, true), add).Made[0].Pair
	out, err := exec.Command("ip", "-d", "link", "show", "hosta").CombinedOutput()
	if err != nil || p.NetNS != "" || p.HostIndex == 0 {
		t.Fatalf("%+v: %v: %s", p, err, out)
	}
	first := p
	l.dp.Close()
	l.connect()
	l.dp.Dump(l.epoch, dataplane.KindPair)
	l.wait("the pair", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Dumped)
		return ok && len(d.Pairs) == 1 && d.Pairs[0] == first
	})
	del := add
	del.Kind = dataplane.PairDel
	l.write(del)
	if out, err := exec.Command("ip", "link", "show", "hosta").CombinedOutput(); err == nil {
		t.Errorf("the companion is there after PairDel: %s", out)
	}
}

// TestManyPairs makes a hundred pairs in one batch, takes them up by a new
// client, and removes them.
func TestManyPairs(t *testing.T) {
	const n = 100
	l := &lab{world: newWorld(t), more: make(chan struct{}, 1)}
	for i := range n {
		l.addPhy(fmt.Sprintf("phy%d", i))
	}
	l.connect()
	defer func() { l.dp.Close() }()
	var add, del []dataplane.Op
	for _, x := range l.fwd.JSON("link show type veth") {
		i := uint32(x["ifindex"].(float64))
		op := l.pairAdd(i, fmt.Sprintf("host%d", i))
		add = append(add, up(i, true), op)
		op.Kind = dataplane.PairDel
		del = append(del, op)
	}
	took := func(what string, start time.Time) {
		t.Logf("%s: %v", what, time.Since(start).Round(time.Millisecond))
	}
	start := time.Now()
	made := l.write(add...).Made
	took("made", start)
	if len(made) != n {
		t.Fatalf("%d pairs were made", len(made))
	}
	rules := l.ruleset()
	l.dp.Close()
	start = time.Now()
	l.connect()
	took("taken up", start)
	start = time.Now()
	if again := l.write(add...).Made; len(again) != n || again[n/2].Pair != made[n/2].Pair {
		t.Errorf("%d pairs were made again, one as %+v", len(again), again[n/2])
	}
	took("made again", start)
	if l.ruleset() != rules {
		t.Error("rules were written again")
	}
	start = time.Now()
	l.write(del...)
	took("removed", start)
	if links := l.ctl.JSON("link show type veth"); len(links) > 0 {
		t.Errorf("%d companions are left", len(links))
	}
}
