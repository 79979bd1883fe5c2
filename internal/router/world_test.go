package router

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/birdtest"
	"netbraid/internal/cli"
	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// command makes the test binary the netbraid command.
const command = "NETBRAID_TEST_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(command) != "" {
		os.Exit(cli.Main(append([]string{"netbraid"}, os.Args[1:]...), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// world is
//
//	host one (192.168.1.2) - lan [forward] wan - second router - host two (192.168.2.2)
//	                         e1 [control] e0
type world struct {
	t                        testing.TB
	control, forward, second *nstest.NS
	one, two                 *nstest.NS
	dir                      string
	netbraid                 *exec.Cmd
	controlBird, secondBird  *birdtest.Bird
}

// path is the file of a namespace of this process, for others.
func path(ns *nstest.NS) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.FD()) }

func newWorld(t testing.TB) *world {
	w := &world{t: t, control: nstest.New(t), forward: nstest.New(t), second: nstest.New(t), one: nstest.New(t), two: nstest.New(t), dir: t.TempDir()}
	for _, ns := range []*nstest.NS{w.control, w.forward, w.second, w.one, w.two} {
		ns.IP("link set lo up")
	}
	w.forward.Veth("lan", "eth0", w.one)
	w.forward.Veth("wan", "eth0", w.second)
	w.second.Veth("eth1", "eth0", w.two)
	for ns, lines := range map[*nstest.NS][]string{
		w.one:    {"addr add 192.168.1.2/24 dev eth0", "route add default via 192.168.1.1", "addr add fd01::2/64 dev eth0 nodad", "route add default via fd01::1"},
		w.two:    {"addr add 192.168.2.2/24 dev eth0", "route add default via 192.168.2.1", "addr add fd02::2/64 dev eth0 nodad", "route add default via fd02::1"},
		w.second: {"addr add 10.0.0.2/24 dev eth0", "addr add fd00::2/64 dev eth0 nodad", "addr add 192.168.2.1/24 dev eth1", "addr add fd02::1/64 dev eth1 nodad", "link set eth1 up"},
	} {
		for _, line := range lines {
			ns.IP(line)
		}
	}
	w.second.Run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	w.write("network", fmt.Sprintf(`
config dataplane 'fwd'
	option type 'netns'
	option netns '%s'

config pair 'e0'
	option dataplane 'fwd'
	option phy 'wan'

config pair 'e1'
	option phy 'lan'

config interface 'wan'
	option device 'e0'
	option proto 'static'
	option ipaddr '10.0.0.1/24'
	option ip6addr 'fd00::1/64'

config interface 'lan'
	option device 'e1'
	option proto 'static'
	option ipaddr '192.168.1.1/24'
	option ip6addr 'fd01::1/64'
`, path(w.forward)))
	return w
}

func (w *world) write(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.dir, "config", name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) socket() string { return filepath.Join(w.dir, "ubus.sock") }

// start starts netbraid as a process.
func (w *world) start() {
	w.t.Helper()
	log, err := os.OpenFile(filepath.Join(w.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(os.Args[0], "daemon", "-c", filepath.Join(w.dir, "config"), "-s", w.socket(), "-p", "",
		"--run-dir", filepath.Join(w.dir, "run"), "--state-dir", filepath.Join(w.dir, "lib"))
	cmd.Env = append(os.Environ(), command+"=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := w.control.Do(cmd.Start); err != nil {
		w.t.Fatal(err)
	}
	w.netbraid = cmd
	w.t.Cleanup(func() {
		if w.t.Failed() && w.netbraid != nil { // where it hangs, if it does
			_ = w.netbraid.Process.Signal(unix.SIGQUIT)
			time.Sleep(300 * time.Millisecond)
		}
		w.kill()
		if w.t.Failed() {
			b, _ := os.ReadFile(filepath.Join(w.dir, "log"))
			w.t.Logf("netbraid said:\n%s", last(strings.SplitN(string(b), "SIGQUIT", 2)[0], 100)+"\n"+last(string(b), 300))
		}
	})
}

// last gives the last n lines.
func last(s string, n int) string {
	lines := strings.Split(s, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill ends netbraid without warning.
func (w *world) kill() {
	if w.netbraid != nil {
		_ = w.netbraid.Process.Kill()
		_ = w.netbraid.Wait()
		w.netbraid = nil
	}
}

// run runs the netbraid command.
func (w *world) run(args ...string) (string, error) {
	cmd := exec.Command(os.Args[0], append(args, "-s", w.socket())...)
	cmd.Env = append(os.Environ(), command+"=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually waits for what f is about.
func (w *world) eventually(d time.Duration, f func() string) {
	w.t.Helper()
	nstest.Eventually(w.t, d, f)
}

// via gives where each route of a protocol goes that a namespace has in its main
// table: the gateway, or the device.
func (w *world) via(ns *nstest.NS, proto uint8, name func(uint32) string) map[netip.Prefix]string {
	w.t.Helper()
	conn, err := rtnl.DialNS(ns.FD())
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	out := map[netip.Prefix]string{}
	var r rtnl.Route
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		req := rtnl.AppendDumpRequest(nil, rtnl.KindRoute, 0, rtnl.Filter{Family: family, Protocol: proto})
		res, err := conn.Dump(context.Background(), req, func(b []byte) error {
			for len(b) > 0 {
				h, body, rest, err := rtnl.NextMessage(b)
				if err != nil {
					return err
				}
				if h.Type == unix.RTM_NEWROUTE {
					if err := rtnl.DecodeRoute(body, &r); err != nil {
						return err
					}
					if r.Table == unix.RT_TABLE_MAIN && r.Protocol == proto {
						out[r.Dst] = fmt.Sprint(r.Gateway, " ", name(r.Oif))
					}
				}
				b = rest
			}
			return nil
		})
		if err != nil || !res.Complete {
			w.t.Fatalf("dump of routes: %v, complete: %v", err, res.Complete)
		}
	}
	return out
}

// names gives the links of a namespace by their ifindex; those in as are called
// by what stands there.
func (w *world) names(ns *nstest.NS, as map[string]string) func(uint32) string {
	w.t.Helper()
	names := w.linkNames(ns)
	for i, n := range names {
		if other := as[n]; other != "" {
			names[i] = other
		}
	}
	return func(i uint32) string { return names[i] }
}

// read gives the text of a configuration file.
func (w *world) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, "config", name))
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// linkNames are the links of a namespace by their ifindex.
func (w *world) linkNames(ns *nstest.NS) map[uint32]string {
	w.t.Helper()
	names := map[uint32]string{}
	for _, l := range ns.JSON("link show") {
		names[uint32(l["ifindex"].(float64))] = l["ifname"].(string)
	}
	return names
}
