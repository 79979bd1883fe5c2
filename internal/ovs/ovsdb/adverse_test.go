package ovsdb

import (
	"context"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// TestConcurrentWriters: ovs-vsctl adds and deletes ports by hand while what
// is wanted changes all the time. Nobody loses anything.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.backend()
	b.Set([]model.Switch{w.bridge("br0")})
	b.wait("br0 there")
	const writers, each = 4, 12
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				name := fmt.Sprintf("h%d-%d", i, j)
				if _, err := w.Try("--no-wait", "add-port", "br0", name, "--", "set", "interface", name, "type=internal"); err != nil {
					t.Error(err)
				}
				if j%3 == 2 {
					if _, err := w.Try("--no-wait", "del-port", "br0", name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	rng := mrand.New(mrand.NewPCG(1, 1))
	stop := make(chan struct{})
	go func() { wg.Wait(); close(stop) }()
	sets := 0
	for done := false; !done; sets++ {
		select {
		case <-stop:
			done = true
		case <-time.After(time.Duration(rng.IntN(20)) * time.Millisecond):
			var ports []model.SwitchPort
			for i := range 30 {
				if rng.IntN(2) == 0 {
					ports = append(ports, model.SwitchPort{Name: fmt.Sprintf("n%02d", i), Type: "internal", Tag: uint16(rng.IntN(3))})
				}
			}
			b.Set([]model.Switch{w.bridge("br0", ports...)})
		}
	}
	b.Set([]model.Switch{w.bridge("br0", internal("n00", "n29")...)})
	b.wait("br0 there n00+ n29+")
	var want []string
	for i := range writers {
		for j := range each {
			if j%3 != 2 {
				want = append(want, fmt.Sprintf("h%d-%d", i, j))
			}
		}
	}
	want = append(want, "n00", "n29")
	slices.Sort(want)
	if got := strings.Fields(w.Vsctl("list-ports br0")); !slices.Equal(got, want) {
		t.Errorf("after %d wants, br0 has\n%v, want\n%v", sets, got, want)
	}
	t.Logf("%d wants, %d transactions, %d conflicts", sets, strings.Count(b.said(), "ovsdb: wrote"), strings.Count(b.said(), "somebody else was faster"))
}

// TestRestarts: OVSDB_SEEDS times (2) both daemons are killed at random moments while what is wanted
// changes, and others work by hand. It always ends as wanted, and what others
// made is there.
func TestRestarts(t *testing.T) {
	t.Parallel()
	long(t)
	for seed := range fromEnv(t, "OVSDB_SEEDS", 2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { t.Parallel(); restarts(newWorld(t), uint64(seed)) })
	}
}

func restarts(w *world, seed uint64) {
	t := w.t
	rng := mrand.New(mrand.NewPCG(seed, 7))
	w.Vsctl("add-br theirs -- set bridge theirs datapath_type=" + w.datapath + " -- add-port theirs t0 -- set interface t0 type=internal")
	b := w.backend()
	hand := []string{"t0"}
	for round := range 5 {
		var wants []string
		for _, name := range []string{"br0", "theirs"} {
			line := name + " there"
			for i := range 6 {
				if rng.IntN(2) == 0 {
					line += fmt.Sprintf(" %.1s%d-%d+", name, round%2, i)
				}
			}
			wants = append(wants, line)
		}
		list := make([]model.Switch, 0, 2)
		for _, line := range wants {
			f := strings.Fields(strings.ReplaceAll(line, "+", ""))
			list = append(list, w.bridge(f[0], internal(f[2:]...)...))
		}
		b.Set(list)
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		server := rng.IntN(3) > 0
		if server {
			w.Server.Kill()
		}
		if vswitchd := rng.IntN(2) > 0; vswitchd || !server {
			w.Vswitchd.Kill()
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
			w.StartVswitchd()
		}
		if server {
			time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
			w.StartServer()
		}
		name := fmt.Sprintf("hand%d", round)
		hand = append(hand, name)
		w.Vsctl("--no-wait add-port theirs " + name + " -- set interface " + name + " type=internal")
		for _, line := range wants {
			b.wait(line)
		}
		want := append(strings.Fields(strings.ReplaceAll(wants[1], "+", ""))[2:], hand...)
		slices.Sort(want)
		if got := strings.Fields(w.Vsctl("list-ports theirs")); !slices.Equal(got, want) {
			t.Errorf("round %d: theirs has %v, want %v", round, got, want)
		}
	}
	b.compareReplica(w)
}

// compareReplica asks for the contents anew and compares them with the copy
// that has followed every change.
func (r *run) compareReplica(w *world) {
	r.t.Helper()
	r.Close()
	fresh := prepare(r.opt)
	defer fresh.stop()
	var ends [2]string
	for i := range ends {
		nc, err := fresh.dial(context.Background())
		if err != nil {
			r.t.Fatal(err)
		}
		s := &session{b: fresh, changed: make(chan struct{}, 1)}
		s.conn = rfc7047.NewConn(nc, rfc7047.ConnOptions{Notify: s.notify})
		if err := s.open(context.Background()); err != nil {
			r.t.Fatal(err)
		}
		if i == 0 { // let it follow something
			w.Vsctl("add-port theirs zz tag=3 trunks=3,4 -- set interface zz type=internal options:a=b -- set bridge theirs other_config:a=b")
			w.Vsctl("set port zz trunks=4,5,6 tag=[] -- set interface zz options:a=c options:d=e -- set bridge theirs other_config={} -- del-port t0")
			time.Sleep(200 * time.Millisecond)
		}
		s.mu.Lock()
		ends[i] = dump(s.rep)
		s.mu.Unlock()
		s.conn.Close()
	}
	if ends[0] != ends[1] {
		r.t.Errorf("the copy that followed:\n%s\na new one:\n%s", ends[0], ends[1])
	}
}

// dump lists the rows of a replica; columns at their default are left out.
func dump(rep *rfc7047.Replica) string {
	var lines []string
	for table, cols := range columns {
		for uuid, row := range rep.Table(table) {
			for _, c := range cols {
				if v := row[c]; len(v.Keys) > 0 && !v.Equal(rep.Schema.Tables[table].Columns[c].Type.Default()) {
					lines = append(lines, table+" "+uuid+" "+c+" "+v.Text())
				}
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// fake is a server that gives each connection to a function.
func fake(t *testing.T, serve func(n int, c net.Conn)) (target string) {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "ovs")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { defer c.Close(); serve(n, c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait(); os.RemoveAll(dir) })
	return "unix:" + dir + "/s"
}

// TestGarbage: a server that talks nonsense at any stage is said to do so, and
// is tried again, less and less often; nothing hangs.
func TestGarbage(t *testing.T) {
	t.Parallel()
	schema := `{"id":1,"result":{"name":"Open_vSwitch","version":"8.3.1","tables":{` +
		`"Open_vSwitch":{"columns":{"bridges":{"type":{"key":"uuid","min":0,"max":"unlimited"}},"cur_cfg":{"type":"integer"},"next_cfg":{"type":"integer"}}},` +
		`"Bridge":{"columns":{"name":{"type":"string"},"ports":{"type":{"key":"uuid","min":0,"max":"unlimited"}},"external_ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},` +
		`"Port":{"columns":{"name":{"type":"string"},"interfaces":{"type":{"key":"uuid","max":"unlimited"}},"external_ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}},` +
		`"Interface":{"columns":{"name":{"type":"string"},"type":{"type":"string"},"ofport":{"type":{"key":"integer","min":0}},"options":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}},"external_ids":{"type":{"key":"string","value":"string","min":0,"max":"unlimited"}}}}` +
		`}},"error":null}`
	for _, c := range []struct{ name, say, want string }{
		{"not JSON", "HTTP/1.1 400 Bad Request\r\n\r\n", "a message begins with 'H'"},
		{"deep", strings.Repeat(`{"a":`, 1000), "nested deeper"},
		{"an answer to nothing", `{"id":77,"result":1,"error":null}`, "which was not sent"},
		{"neither", `{}`, "neither a request nor a reply"},
		{"refusal", `{"id":1,"result":null,"error":{"error":"unknown database","details":"no"}}`, "get_schema: unknown database: no"},
		{"no schema", `{"id":1,"result":[],"error":null}`, "schema"},
		{"another database", `{"id":1,"result":{"name":"x","tables":{}},"error":null}`, "has no Bridge.external_ids"},
		{"no contents", schema + `{"id":2,"result":{"Bridge":{"x":{}}},"error":null}`, "update of row"},
		{"update before the contents", schema + `{"id":null,"method":"update2","params":["netbraid",{}]}`, "before the contents"},
		{"a bad update", schema + `{"id":2,"result":{},"error":null}{"id":null,"method":"update2","params":["netbraid",{"Frob":{}}]}`, "not monitored"},
		{"no lock", schema + `{"id":2,"result":{},"error":null}{"id":3,"result":7,"error":null}{"id":4,"result":{},"error":null}`, "answer to lock"},
		{"the database goes", schema + `{"id":2,"result":{},"error":null}{"id":null,"method":"monitor_canceled","params":["netbraid"]}`, "the database is gone"},
		{"echoes without end", strings.Repeat(`{"id":1,"method":"echo","params":[]}`, 200000), "that are not read"},
		{"hangs up", "", "closed the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			attempts := 0
			target := fake(t, func(n int, nc net.Conn) {
				mu.Lock()
				attempts++
				mu.Unlock()
				_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
				// Answers may come only after their questions.
				for _, part := range strings.SplitAfter(c.say, `"error":null}`) {
					if part == "" {
						continue
					}
					if !strings.HasPrefix(part, `{"id":null`) && !strings.Contains(part, "echo") && !strings.HasPrefix(c.name, "not JSON") && !strings.Contains(part, `"id":4`) {
						if _, err := nc.Read(make([]byte, 4096)); err != nil {
							return
						}
					}
					if _, err := io.WriteString(nc, part); err != nil {
						return
					}
				}
				if c.say != "" {
					_, _ = io.Copy(io.Discard, nc)
				} else { // to hang up on what is not read would be a reset
					_, _ = nc.Read(make([]byte, 4096))
				}
			})
			b := newRun(t, Options{Target: target}, nil)
			b.Set([]model.Switch{{Name: "br0"}})
			nstest.Eventually(t, waitTime, func() string {
				if s := b.said(); !strings.Contains(s, c.want) {
					return s
				}
				return ""
			})
			count := func() int {
				mu.Lock()
				defer mu.Unlock()
				return attempts
			}
			before := count()
			time.Sleep(time.Second)
			if n := count() - before; n > 8 {
				t.Errorf("%d connections in a second", n)
			}
		})
	}
}

// TestSilentServer: one that says nothing any more is given up, and another
// connection is made.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	connections := make(chan int, 10)
	target := fake(t, func(n int, nc net.Conn) {
		connections <- n
		_, _ = io.Copy(io.Discard, nc)
	})
	nc, err := net.Dial("unix", strings.TrimPrefix(target, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	conn := rfc7047.NewConn(nc, rfc7047.ConnOptions{Probe: 100 * time.Millisecond})
	defer conn.Close()
	_, err = conn.Call(context.Background(), "get_schema", []byte(`["x"]`))
	if d := time.Since(start); err == nil || !strings.Contains(err.Error(), "silent for 200ms") || d < 200*time.Millisecond || d > 2*time.Second {
		t.Errorf("after %v: %v", d, err)
	}
	if Available(target) {
		t.Error("a server that says nothing is available")
	}
}

// TestUnreachable: no server, then one; and a server that goes.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Server.Kill()
	if Available(w.Target()) {
		t.Error("a server that is not there is available")
	}
	b := w.backend()
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...)})
	b.wait("br0 (cannot work with ovsdb-server at " + w.Target() + ": dial unix*")
	b.Set([]model.Switch{w.bridge("br0", internal("p0")...), w.bridge("br1")})
	b.wait("br1 (cannot work*")
	time.Sleep(time.Second)
	if n := strings.Count(b.said(), "cannot reach"); n != 1 {
		t.Errorf("said %d times that it cannot be reached:\n%s", n, b.said())
	}
	w.StartServer()
	b.wait("br0 there p0+")
	b.wait("br1 there")
	w.Server.Kill()
	b.wait("br0 (cannot work*")
	if p := b.state("br0").Ports; len(p) != 1 || p[0].Number == 0 {
		t.Errorf("ports while the server is away: %+v", p)
	}
	w.NewDatabase()
	w.StartServer()
	b.wait("br0 there p0+")
}

// TestTwoDaemons: two of our kind want the same on one database, at the same
// moment. Each name is made once, both are content; and when one wants nothing
// any more the other has it all, but for the bridge, which its maker leaves.
func TestTwoDaemons(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")
	one := w.backendWith(Options{Target: w.Target(), ID: "one"}, nil)
	two := w.backendWith(Options{Target: w.Target(), ID: "two"}, nil)
	var names []string
	content := func(r *run) {
		t.Helper()
		nstest.Eventually(t, waitTime, func() string {
			s := r.state("br0")
			bad := func(p model.SwitchPortState) bool { return p.Number == 0 || p.Err != "" }
			if len(s.Ports) != len(names) || !s.There || slices.ContainsFunc(s.Ports, bad) {
				return "reported: " + line(s)
			}
			return ""
		})
	}
	for i := range 30 {
		names = append(names, fmt.Sprintf("p%02d", i))
		want := []model.Switch{w.bridge("br0", internal(names...)...)}
		one.Set(want)
		two.Set(want)
		content(one)
		content(two)
	}
	owners := map[string]int{}
	for name, r := range w.list("Port", "name", "external_ids") {
		owners[fmt.Sprint(r["external_ids"])]++
		_ = name
	}
	t.Logf("owners %v; conflicts %d and %d", owners, strings.Count(one.said(), "was faster"), strings.Count(two.said(), "was faster"))
	if strings.Count(one.said()+two.said(), "was faster") == 0 {
		t.Error("no conflict: the test has not tested what it is for")
	}
	one.Set(nil)
	one.wait("br0")
	content(two)
	for name, r := range w.list("Port", "name", "external_ids") {
		if got := fmt.Sprint(r["external_ids"]); name != "br0" && got != "[map [[netbraid two]]]" {
			t.Errorf("port %s has the marks %s", name, got)
		}
	}
}
