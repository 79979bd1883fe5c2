package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lanAndWAN = `config device
	option name 'br-lan'
	option type 'bridge'
	list ports 'eth0'
	list ports 'eth1'

config interface 'lan'
	option device 'br-lan'
	option proto 'static'
	option ipaddr '192.168.1.1/24'

config interface 'guests'
	option device '@lan'
	option proto 'static'
	option ipaddr '192.168.50.1/24'

config interface 'wan'
	option device 'eth2'
	option proto 'static'
	option ipaddr '203.0.113.2/24'
	option gateway '203.0.113.1'
	option ip6addr '2001:db8:1::2/64'
	option ip6gw '2001:db8:1::1'
`
	internet = "198.51.100.1" // somewhere behind the gateway
)

// Run plays the whole story; the error says what did not go as it should.
func Run(ctx context.Context, o Options) error {
	w, err := newWorld(o)
	if err != nil {
		return err
	}
	defer w.close()
	for _, chapter := range []func(context.Context) error{
		w.begin, w.start, w.plugIn, w.through, w.tamper, w.change, w.mistake, w.crash,
	} {
		if err := chapter(ctx); err != nil {
			return err
		}
		w.pause(ctx)
	}
	w.say("\nThat was all real: a kernel, a daemon, and %d steps that went as they should.", w.steps)
	if w.Hold {
		w.hold(ctx)
	}
	return ctx.Err()
}

func (w *world) begin(ctx context.Context) error {
	w.title("A machine with three network ports, and its configuration")
	w.say("It is a network namespace without a name; nothing outside is touched.\n")
	w.say("%s", strings.TrimSpace(lanAndWAN))
	if err := w.configure(lanAndWAN); err != nil {
		return err
	}
	return errors.Join(
		w.cable(ctx, "eth0", "laptop", w.far), w.cable(ctx, "eth1", "guest", w.guest),
		w.all(ctx, w.far, "ip link set lo up", "ip addr add "+internet+"/32 dev lo",
			"ip link set laptop up", "ip addr add 192.168.1.10/24 dev laptop"),
		w.all(ctx, w.guest, "ip link set guest up", "ip addr add 192.168.50.20/24 dev guest"))
}

func (w *world) start(ctx context.Context) error {
	w.title("The daemon starts; the port for the WAN is not plugged in yet")
	w.typed("netbraid daemon &")
	if err := w.startDaemon(); err != nil {
		return err
	}
	if err := w.waitUp(ctx, "lan", "guests"); err != nil {
		return err
	}
	return w.shows(ctx, "netbraid status", 0, "no device", "192.168.50.1/24")
}

func (w *world) plugIn(ctx context.Context) error {
	w.title("Somebody plugs it in")
	if err := w.cable(ctx, "eth2", "isp", w.far); err != nil {
		return err
	}
	if err := w.all(ctx, w.far, "ip addr add 203.0.113.1/24 dev isp",
		"ip addr add 2001:db8:1::1/64 dev isp nodad", "ip link set isp up"); err != nil {
		return err
	}
	if err := w.waitUp(ctx, "wan"); err != nil {
		return err
	}
	return w.shows(ctx, "netbraid status", 0, "203.0.113.2/24", "203.0.113.1")
}

func (w *world) through(ctx context.Context) error {
	w.title("Packets go through: to a host behind the gateway, to a laptop and a guest on the bridge")
	for _, host := range []string{internet, "192.168.1.10", "192.168.50.20"} {
		if err := w.pings(ctx, host); err != nil {
			return err
		}
	}
	return nil
}

// pings sends two packets, none of which may be lost.
func (w *world) pings(ctx context.Context, host string) error {
	return w.shows(ctx, "ping -q -c 2 -i 0.2 -W 2 "+host, 0, " 0% packet loss")
}

// tamper deletes an address (its default route goes with it) and shows what
// the kernel announced.
func (w *world) tamper(ctx context.Context) error {
	w.title("Somebody deletes an address by hand: netbraid puts it back, and its route")
	mon := w.command(ctx, "netbraid monitor --timestamp")
	var heard, said lockedBuffer
	mon.Stdout, mon.Stderr = &heard, &said
	if err := w.home.Do(mon.Start); err != nil {
		return err
	}
	if err := w.wait(ctx, "netbraid monitor", func() bool { return strings.Contains(said.String(), "listening") }); err != nil {
		_ = mon.Process.Kill()
		_ = mon.Wait()
		return err
	}
	w.typed("netbraid monitor --timestamp &")
	w.typed("ip addr del 203.0.113.2/24 dev eth2")
	err := w.all(ctx, w.home, "ip addr del 203.0.113.2/24 dev eth2")
	if err == nil {
		err = w.wait(ctx, "the address and the default route are back", func() bool {
			out, err := w.in(ctx, w.home, "ip -4 route show default")
			return err == nil && strings.Contains(out, "via 203.0.113.1 dev eth2")
		})
	}
	time.Sleep(50 * time.Millisecond) // for the monitor to print what it has read
	_ = mon.Process.Signal(os.Interrupt)
	_ = mon.Wait()
	var lines []string
	for _, l := range strings.Split(strings.TrimSpace(heard.String()), "\n") {
		if !strings.Contains(l, " neigh ") {
			lines = append(lines, l)
			w.say("%s", l)
		}
	}
	if err != nil {
		return err
	}
	if gone, ok := between(lines, " - addr 203.0.113.2/24 ", " + route default via 203.0.113.1 "); ok {
		w.say("%s", w.sgr("32", fmt.Sprintf("from the loss of the address to the return of the route: %.1f ms", gone.Seconds()*1000)))
	}
	if err := w.waitAddr(ctx, "eth2", "203.0.113.2/24"); err != nil {
		return err
	}
	return w.pings(ctx, internet)
}

// between is the time from the first line with one text to the first with
// another; each line begins with its time.
func between(lines []string, from, to string) (time.Duration, bool) {
	find := func(text string) (time.Time, bool) {
		for _, l := range lines {
			if stamp, _, _ := strings.Cut(l, " "); strings.Contains(l, text) {
				at, err := time.Parse("15:04:05.000000", stamp)
				return at, err == nil
			}
		}
		return time.Time{}, false
	}
	a, ok1 := find(from)
	b, ok2 := find(to)
	return b.Sub(a), ok1 && ok2 && b.After(a)
}

func (w *world) change(ctx context.Context) error {
	w.title("The configuration changes: first the plan, then the deed")
	w.typed("sed -i s/203.0.113.2/203.0.113.7/ config/network")
	if err := w.configure(strings.Replace(lanAndWAN, "203.0.113.2/", "203.0.113.7/", 1)); err != nil {
		return err
	}
	plan := "netbraid plan -c " + w.path("config") + " --run-dir " + w.path("run")
	if err := w.shows(ctx, plan, 2, "203.0.113.7"); err != nil {
		return err
	}
	if err := w.shows(ctx, "netbraid reload", 0, "reloaded"); err != nil {
		return err
	}
	if err := w.waitAddr(ctx, "eth2", "203.0.113.7/24"); err != nil {
		return err
	}
	return w.shows(ctx, "netbraid status wan", 0, "wan is up", "203.0.113.7/24")
}

func (w *world) mistake(ctx context.Context) error {
	w.title("A mistake in the file changes nothing")
	w.typed("sed -i s/203.0.113.7/203.0.113.777/ config/network")
	if err := w.configure(strings.Replace(lanAndWAN, "203.0.113.2/", "203.0.113.777/", 1)); err != nil {
		return err
	}
	if err := w.shows(ctx, "netbraid reload", 1, "203.0.113.777", "nothing is changed"); err != nil {
		return err
	}
	if err := w.pings(ctx, internet); err != nil {
		return err
	}
	return w.configure(strings.Replace(lanAndWAN, "203.0.113.2/", "203.0.113.7/", 1))
}

// crash kills the daemon while packets flow, and starts another.
func (w *world) crash(ctx context.Context) error {
	w.title("The daemon is killed and started again: no packet is lost")
	w.typed("ping -i 0.1 -c 20 %s & kill -9 $(pidof netbraid); netbraid daemon &", internet)
	type pinged struct {
		out string
		err error
	}
	done := make(chan pinged, 1)
	go func() {
		out, err := w.in(ctx, w.home, "ping -q -i 0.1 -c 20 -W 2 "+internet)
		done <- pinged{out, err}
	}()
	time.Sleep(500 * time.Millisecond)
	_ = w.stopDaemon(unix.SIGKILL)
	if err := w.startDaemon(); err != nil {
		return err
	}
	p := <-done
	if p.err != nil {
		return p.err
	}
	w.print(p.out)
	if err := w.check("ping", p.out, " 0% packet loss"); err != nil {
		return err
	}
	if err := w.waitUp(ctx, "lan", "guests", "wan"); err != nil {
		return err
	}
	return w.shows(ctx, "netbraid status", 0, "203.0.113.7/24")
}

// shows runs a command at home as the reader would, prints what it says, and
// holds that it ends with the code and says the words.
func (w *world) shows(ctx context.Context, line string, code int, words ...string) error {
	shown := strings.NewReplacer(w.path(""), "", " -q", "", " -W 2", "").Replace(line)
	if strings.HasPrefix(line, "netbraid plan") {
		shown = "netbraid plan"
	}
	w.typed("%s", shown)
	out, err := w.in(ctx, w.home, line)
	w.print(strings.ReplaceAll(out, w.dir+"/", ""))
	var exit *exec.ExitError
	got := 0
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		return err
	}
	if got != code {
		return fmt.Errorf("%s: exit code %d, not %d; the daemon's log:\n%s", shown, got, code, w.logTail())
	}
	return w.check(shown, out, words...)
}

func (w *world) check(what, out string, words ...string) error {
	for _, s := range words {
		if !strings.Contains(out, s) {
			return fmt.Errorf("%s: does not say %q; the daemon's log:\n%s", what, s, w.logTail())
		}
	}
	w.steps++
	return nil
}

func (w *world) title(text string) {
	w.say("\n%s", w.sgr("1", "── "+text+" "+strings.Repeat("─", max(3, 76-len([]rune(text))))))
}

func (w *world) typed(format string, args ...any) {
	w.say("%s %s", w.sgr("32", "$"), w.sgr("1", fmt.Sprintf(format, args...)))
}

func (w *world) say(format string, args ...any) { fmt.Fprintf(w.Out, format+"\n", args...) }

// print prints what a command said, without blank lines and what ping says
// around its one interesting line.
func (w *world) print(out string) {
	for _, l := range strings.Split(out, "\n") {
		chatter := strings.HasPrefix(l, "PING ") || strings.HasPrefix(l, "--- ") || strings.HasPrefix(l, "rtt ")
		if strings.TrimSpace(l) != "" && !chatter {
			w.say("%s", l)
		}
	}
}

func (w *world) sgr(code, text string) string {
	if !w.Colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (w *world) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(w.Pause):
	}
}

// hold leaves everything as it is until the reader has seen enough.
func (w *world) hold(ctx context.Context) {
	w.say("\nIt stays open. To look around, in another terminal (as root):")
	w.say("  nsenter --net=/proc/%d/fd/%d env NETBRAID_UBUS_SOCKET=%s PATH=%s:$PATH bash", os.Getpid(), w.home.FD(),
		w.path("ubus.sock"), strings.TrimSuffix(w.Exe, "/netbraid"))
	w.say("  the laptop and the provider: nsenter --net=/proc/%d/fd/%d bash; the guest: --net=/proc/%[1]d/fd/%[3]d",
		os.Getpid(), w.far.FD(), w.guest.FD())
	w.say("  configuration and log: %s", w.dir)
	w.say("Enter (or Ctrl-C) ends it.")
	enter := make(chan struct{})
	go func() {
		b := make([]byte, 1)
		if n, _ := w.In.Read(b); n > 0 {
			close(enter)
		}
	}()
	select {
	case <-ctx.Done():
	case <-enter:
	}
}

// lockedBuffer is written by a command while it is read here.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
