package kswitch

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
	"netbraid/rtnl"
)

// world is a namespace for the switch, and stations in others.
type world struct {
	*nstest.NS
	t        testing.TB
	dir      string
	stations []*station
	log      *nstest.Output

	mu     sync.Mutex
	states map[string]model.SwitchState
}

// station is a namespace with one device, eth0, whose other end is the port
// p1, p2, … of the switch's.
type station struct {
	*nstest.NS
	port, addr string
}

// newWorld skips the test outside the test kernel.
func newWorld(t testing.TB, stations int) *world {
	t.Helper()
	vmtest.Require(t)
	w := &world{NS: nstest.New(t), t: t, dir: t.TempDir(), log: &nstest.Output{}, states: map[string]model.SwitchState{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", w.log)
		}
	})
	for i := 1; i <= stations; i++ {
		w.station(i, fmt.Sprintf("10.0.0.%d/24", i))
	}
	return w
}

// station adds a station with an address; IPv6 is off, so that nothing sends by
// itself.
func (w *world) station(i int, addr string) *station {
	w.t.Helper()
	s := &station{nstest.New(w.t), fmt.Sprintf("p%d", i), strings.Split(addr, "/")[0]}
	s.Run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1")
	w.Veth(s.port, "eth0", s.NS)
	w.IP("link set " + s.port + " up")
	s.IP("addr add " + addr + " dev eth0")
	w.stations = append(w.stations, s)
	return s
}

func (w *world) options() Options {
	return Options{
		NSFD: w.FD(), StateFile: filepath.Join(w.dir, "ovs"), Log: slog.New(slog.NewTextHandler(w.log, nil)),
		Report: func(s model.SwitchState) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states[s.Name] = s
		},
	}
}

// manager starts a Manager that ends with the test.
func (w *world) manager() *Manager {
	w.t.Helper()
	m, err := New(w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(m.Close)
	return m
}

func (w *world) state(name string) model.SwitchState {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states[name]
}

// bridge is a switch of the ports of all stations.
func (w *world) bridge(name string) model.Switch {
	s := model.Switch{Name: name, Backend: "kernel"}
	for _, st := range w.stations {
		s.Ports = append(s.Ports, model.SwitchPort{Name: st.port})
	}
	return s
}

// settled waits until a bridge is there with all its ports.
func (w *world) settled(name string, ports int) {
	w.t.Helper()
	nstest.Eventually(w.t, 20*time.Second, func() string {
		s := w.state(name)
		n := 0
		for _, p := range s.Ports {
			if p.Number != 0 && p.Err == "" {
				n++
			}
		}
		if !s.There || n != ports {
			return fmt.Sprintf("bridge %s is %+v, %d ports are right, want %d", name, s, n, ports)
		}
		return ""
	})
}

// socket is a UDP socket in a station's namespace.
func (s *station) socket(t testing.TB, port int) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := s.Do(func() (err error) {
		c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(s.addr), Port: port})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo answers every datagram to port 7 of a station.
func (s *station) echo(t testing.TB) {
	c := s.socket(t, 7)
	go func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDP(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteToUDP(buf[:n], from)
		}
	}()
}

// ping sends a datagram to another station's echo, and gives the time until the
// answer; false: there was none within the limit.
func (s *station) ping(c *net.UDPConn, to *station, limit time.Duration) (time.Duration, bool) {
	began := time.Now()
	id := fmt.Sprint(began.UnixNano())
	if _, err := c.WriteToUDP([]byte(id), &net.UDPAddr{IP: net.ParseIP(to.addr), Port: 7}); err != nil {
		return 0, false
	}
	buf := make([]byte, 2048)
	_ = c.SetReadDeadline(began.Add(limit))
	for {
		n, _, err := c.ReadFromUDP(buf)
		if err != nil {
			return 0, false
		}
		if string(buf[:n]) == id {
			return time.Since(began), true
		}
	}
}

// mustPing fails the test when there is no answer to any of a few datagrams.
func (w *world) mustPing(from, to *station) {
	w.t.Helper()
	c := from.socket(w.t, 0)
	for range 10 {
		if _, ok := from.ping(c, to, 500*time.Millisecond); ok {
			return
		}
	}
	w.t.Errorf("%s does not reach %s\nneighbours: %s", from.addr, to.addr, from.IP("neigh show"))
}

// mustNotPing fails the test when there is an answer.
func (w *world) mustNotPing(from, to *station) {
	w.t.Helper()
	if _, ok := from.ping(from.socket(w.t, 0), to, 500*time.Millisecond); ok {
		w.t.Errorf("%s reaches %s", from.addr, to.addr)
	}
}

// child is a process that runs a Manager, to be killed.
type child struct {
	cmd *exec.Cmd
	out *nstest.Output
}

// childJob is what a child does: TestMain sees it in the environment.
type childJob struct {
	StateFile string
	Want      []model.Switch
}

const childEnv = "KSWITCH_CHILD"

func TestMain(m *testing.M) {
	if job := os.Getenv(childEnv); job != "" {
		runChild(job)
		return
	}
	os.Exit(m.Run())
}

func runChild(text string) {
	var j childJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	var ready atomic.Bool
	m, err := New(Options{NSFD: -1, StateFile: j.StateFile, Log: slog.New(slog.NewTextHandler(os.Stdout, nil)),
		Report: func(s model.SwitchState) {
			fmt.Printf("STATE %+v\n", s)
			ready.Store(s.There && !slices.ContainsFunc(s.Ports, func(p model.SwitchPortState) bool { return p.Number == 0 }))
		}})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	m.Set(j.Want)
	for {
		time.Sleep(10 * time.Millisecond)
		if s, err := m.Status(j.Want[0].Name); err == nil && s.Adopted && ready.Load() {
			break
		}
	}
	fmt.Println("READY")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// startChild starts a process with a Manager in the world's namespace; it dies
// with the test.
func (w *world) startChild(want ...model.Switch) *child {
	w.t.Helper()
	job, err := json.Marshal(childJob{filepath.Join(w.dir, "ovs"), want})
	if err != nil {
		w.t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	c := &child{cmd: exec.Command(exe), out: &nstest.Output{}}
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(job))
	c.cmd.Stdout, c.cmd.Stderr = c.out, c.out
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if _, err := c.cmd.StdinPipe(); err != nil {
		w.t.Fatal(err)
	}
	if err := rtnl.WithNS(w.FD(), c.cmd.Start); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(c.kill)
	nstest.Eventually(w.t, 20*time.Second, func() string {
		if strings.Contains(c.out.String(), "READY") {
			return ""
		}
		return "the child is not ready: " + c.out.String()
	})
	return c
}

// kill ends the process as SIGKILL does.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}
