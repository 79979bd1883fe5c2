package ovsdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/ovstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is an Open vSwitch by itself, in a network namespace.
type world struct {
	*ovstest.OVS
	t        testing.TB
	ns       *nstest.NS
	datapath string // "netdev", or "system" for the kernel's
}

// newWorld starts Open vSwitch with an empty database and the userspace
// datapath.
func newWorld(t testing.TB) *world {
	ns := nstest.New(t)
	return &world{OVS: ovstest.New(t, ns), t: t, ns: ns, datapath: "netdev"}
}

// row is what ovs-vsctl shows of a row, by column.
type row map[string]any

// list reads rows of a table with ovs-vsctl, by name (or target).
func (w *world) list(table string, columns ...string) map[string]row {
	w.t.Helper()
	out := w.Vsctl("--format=json --data=json --columns=" + strings.Join(columns, ",") + " list " + table)
	var in struct {
		Headings []string
		Data     [][]any
	}
	if err := json.Unmarshal([]byte(out), &in); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	rows := map[string]row{}
	for _, d := range in.Data {
		r := row{}
		for i, h := range in.Headings {
			r[h] = d[i]
		}
		rows[fmt.Sprint(r[columns[0]])] = r
	}
	return rows
}

// config is next_cfg: how often anybody has changed anything.
func (w *world) config() string { return w.Vsctl("get Open_vSwitch . next_cfg") }

// run is a backend with what it has reported.
type run struct {
	*Backend
	t   testing.TB
	log *bytes.Buffer
	mu  *sync.Mutex
	now map[string]model.SwitchState
	see func(model.SwitchState) // told every report; may be nil
}

// watch lets f see every report from now on.
func (r *run) watch(f func(model.SwitchState)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.see = f
}

func (w *world) backend() *run {
	w.t.Helper()
	return w.backendWith(Options{Target: w.Target()}, nil)
}

func (w *world) backendWith(opt Options, change func(*Backend)) *run { return newRun(w.t, opt, change) }

func newRun(t testing.TB, opt Options, change func(*Backend)) *run {
	r := &run{t: t, log: &bytes.Buffer{}, mu: &sync.Mutex{}, now: map[string]model.SwitchState{}}
	opt.Log = slog.New(slog.NewTextHandler(lockedWriter{r}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opt.Report = func(s model.SwitchState) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.now[s.Name] = s
		if r.see != nil {
			r.see(s)
		}
	}
	r.Backend = prepare(opt)
	if change != nil {
		change(r.Backend)
	}
	go r.run()
	t.Cleanup(func() {
		r.Close()
		if t.Failed() {
			t.Logf("the backend said:\n%s", r.log)
		}
	})
	return r
}

type lockedWriter struct{ r *run }

func (l lockedWriter) Write(b []byte) (int, error) {
	l.r.mu.Lock()
	defer l.r.mu.Unlock()
	return l.r.log.Write(b)
}

// said is the log so far.
func (r *run) said() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// state is what was reported of a switch last.
func (r *run) state(name string) model.SwitchState {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now[name]
}

// line is a state in one line: "br0 there: p1=1 p2=2(error)".
func line(s model.SwitchState) string {
	var b strings.Builder
	b.WriteString(s.Name)
	if s.There {
		b.WriteString(" there")
	}
	if s.Err != "" {
		fmt.Fprintf(&b, " (%s)", s.Err)
	}
	for _, p := range s.Ports {
		b.WriteString(" " + p.Name)
		if p.Foreign {
			b.WriteString("!")
		}
		if p.Number != 0 {
			b.WriteString("+")
		}
		if p.Err != "" {
			fmt.Fprintf(&b, "(%s)", p.Err)
		}
	}
	return b.String()
}

// wait waits until a switch is reported as said in the notation of line; a
// want that ends in * is a beginning.
func (r *run) wait(want string) {
	r.t.Helper()
	name, _, _ := strings.Cut(want, " ")
	nstest.Eventually(r.t, waitTime, func() string {
		got := line(r.state(name))
		if prefix, ok := strings.CutSuffix(want, "*"); got == want || ok && strings.HasPrefix(got, prefix) {
			return ""
		}
		return "reported: " + got + "\nwant:     " + want
	})
}

// waitTime is long for the test kernel, whose network is several times slower.
const waitTime = 60 * time.Second

// internal makes ports of type internal.
func internal(names ...string) []model.SwitchPort {
	var list []model.SwitchPort
	for _, n := range names {
		list = append(list, model.SwitchPort{Name: n, Type: "internal"})
	}
	return list
}

// bridge makes a switch on the datapath of the world.
func (w *world) bridge(name string, ports ...model.SwitchPort) model.Switch {
	return model.Switch{Name: name, Backend: "ovsdb", DatapathType: w.datapath, Ports: ports}
}

// long leaves a test of ten seconds and more out of the quick check.
func long(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s and more; run without -short")
	}
}
