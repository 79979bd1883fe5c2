package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/ubus"
)

// bad is a world whose interfaces, named as their modes, have handlers that do
// all that they should not; `good` has a static address.
func bad(t *testing.T, modes ...string) *world {
	w := newWorld(t, 1, nil)
	w.scripts("bad")
	text := "config interface good\n\toption device eth0\n\toption proto static\n\toption ipaddr 192.0.2.1/24\n"
	for _, m := range modes {
		text += fmt.Sprintf("config interface %s\n\toption proto bad\n\toption mode %s\n\toption pids '%s'\n", m, m, w.notes(m))
	}
	w.config([]byte(text))
	w.start()
	return w
}

func (w *world) notes(mode string) string { return filepath.Join(w.dir, "notes-"+mode) }

// noted gives the lines that a handler has written down.
func (w *world) noted(mode string) []string {
	b, _ := os.ReadFile(w.notes(mode))
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func (w *world) state(name string) (up, pending bool, errs string) {
	w.t.Helper()
	st := w.call(ubus.StatusOK, "network.interface."+name, "status", nil)
	up, _ = st.Bool("up")
	pending, _ = st.Bool("pending")
	l, _ := st.Array("errors")
	return up, pending, show(l)
}

func count(lines []string, prefix string) (n int) {
	for _, l := range lines {
		if strings.HasPrefix(l, prefix) {
			n++
		}
	}
	return n
}

func running(t *testing.T, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatalf("%q is no process id", pid)
	}
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestBadScripts: handlers that print nonsense, hang, fork and flood. Each is
// ended with all that it has started; the rest of the daemon answers at once all
// the while.
func TestBadScripts(t *testing.T) {
	w := bad(t, "nonsense", "hang", "fork", "flood")
	for _, m := range []string{"hang", "fork", "flood"} {
		nstest.Eventually(t, 5*time.Second, func() string {
			if count(w.noted(m), "pid ") == 0 {
				return m + " has not begun"
			}
			return ""
		})
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		if _, _, errs := w.state("nonsense"); !strings.Contains(errs, `"SETUP_FAILED"`) {
			return errs
		}
		return ""
	})
	nstest.Eventually(t, 5*time.Second, func() string {
		if up, _, errs := w.state("fork"); !up {
			return "fork is not up: " + errs
		}
		return ""
	})
	for _, m := range []string{"nonsense", "hang", "fork", "flood"} {
		w.call(ubus.StatusOK, "network.interface."+m, "down", nil)
	}
	began := time.Now()
	for range 20 {
		if up, _, _ := w.state("good"); !up {
			t.Fatal("good is down")
		}
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("20 calls took %s beside bad scripts", d)
	}
	// hang: 1 s until the setup is killed, 5 s until its teardown is.
	nstest.Eventually(t, 15*time.Second, func() string {
		for _, m := range []string{"nonsense", "hang", "fork", "flood"} {
			if _, pending, _ := w.state(m); pending {
				return m + " is pending"
			}
			for _, l := range w.noted(m) {
				if pid, ok := strings.CutPrefix(l, "pid "); ok && running(t, pid) {
					return m + ": process " + pid + " runs"
				}
			}
			if count(w.noted(m), "teardown") == 0 {
				return m + ": no teardown"
			}
		}
		return ""
	})
}

// TestAsks1NoEndlessLoop: a setup that fails at once is tried again after 1 s,
// then 2 s (netifd: 11 times in 0.6 s), and says why; `up` tries at once.
func TestAsks1NoEndlessLoop(t *testing.T) {
	w := bad(t, "loop", "dies")
	time.Sleep(2500 * time.Millisecond)
	for _, m := range []string{"loop", "dies"} {
		if n := count(w.noted(m), "setup"); n < 2 || n > 3 {
			t.Errorf("%s: %d setups in 2.5 s", m, n)
		}
	}
	if _, _, errs := w.state("loop"); !strings.Contains(errs, `{"subsystem":"bad","code":"NO_LUCK","data":["today"]}`) || strings.Count(errs, "code") != 1 {
		t.Errorf("errors of loop: %s", errs)
	}
	if _, _, errs := w.state("dies"); !strings.Contains(errs, `"TASK_EXITED"`) || !strings.Contains(errs, "exit status 7") {
		t.Errorf("errors of dies: %s", errs)
	}
	if n := count(w.noted("dies"), "teardown 7"); n == 0 {
		t.Errorf("teardown does not get the exit status: %q", w.noted("dies"))
	}
	before := count(w.noted("loop"), "setup")
	w.call(ubus.StatusOK, "network.interface.loop", "up", nil)
	nstest.Eventually(t, 800*time.Millisecond, func() string {
		if count(w.noted("loop"), "setup") == before {
			return "up does not try at once"
		}
		return ""
	})
}

// TestAsks4Reconnect: a handler whose task dies while it is up comes back
// without a restart of the network.
func TestAsks4Reconnect(t *testing.T) {
	w := bad(t, "late")
	up := func() string {
		if up, _, errs := w.state("late"); !up {
			return "late is not up: " + errs
		}
		return ""
	}
	nstest.Eventually(t, 5*time.Second, up)
	if _, err := w.ns.Try("sh", "-c", `for p in /proc/[0-9]*; do tr '\0' '\n' <$p/environ 2>/dev/null | grep -q "^NETBRAID_HELPER=`+w.dir+`/.*:late$" && grep -q sleep $p/comm && kill -9 ${p#/proc/}; done; true`); err != nil {
		t.Fatal(err)
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		if count(w.noted("late"), "setup") < 2 {
			return "no second setup"
		}
		return up()
	})
}

// TestAsks15NoNoise: link-up 0 during a teardown is no error, which netifd makes
// of it and scripts print; link-up 1 is.
func TestAsks15NoNoise(t *testing.T) {
	w := bad(t, "late")
	nstest.Eventually(t, 5*time.Second, func() string {
		if up, _, errs := w.state("late"); !up {
			return errs
		}
		return ""
	})
	w.call(ubus.StatusOK, "network.interface.late", "down", nil)
	nstest.Eventually(t, 5*time.Second, func() string {
		if l := w.noted("late"); count(l, "up ") == 0 {
			return fmt.Sprint(l)
		}
		return ""
	})
	if l := w.noted("late"); count(l, "down 0") != 1 || count(l, "up 250") != 1 { // 250: -6 as an exit code
		t.Errorf("%q", l)
	}
}

// TestNewDaemon: a daemon that is started anew finds no program of the old one,
// sets its interfaces up again, and their addresses stay all the while.
func TestNewDaemon(t *testing.T) {
	w := newWorld(t, 12, nil)
	w.scripts("host-proto-shell")
	w.config([]byte("config interface full\n\toption device eth2\n\toption proto labtest\n\toption mode full\n"))
	w.start()
	up := func() string {
		if up, _, errs := w.state("full"); !up {
			return errs
		}
		return ""
	}
	nstest.Eventually(t, 5*time.Second, up)
	monitor := make(chan string, 1)
	stop := make(chan struct{})
	go func() {
		gone := ""
		for {
			select {
			case <-stop:
				monitor <- gone
				return
			default:
			}
			out, _ := w.ns.Try("ip", "addr", "show", "dev", "eth2")
			for _, a := range []string{"10.50.0.2/24", "2001:db8:50::2/64"} {
				if !strings.Contains(out, a) {
					gone = a + " was gone"
				}
			}
		}
	}()
	w.halt()
	for _, f := range []string{"full.task", "full.script"} {
		if _, err := os.Stat(filepath.Join(w.dir, "run", "helpers", f)); err == nil {
			t.Errorf("the old daemon has left %s", f)
		}
	}
	w.start()
	nstest.Eventually(t, 5*time.Second, up)
	time.Sleep(300 * time.Millisecond)
	close(stop)
	if gone := <-monitor; gone != "" {
		t.Error(gone)
	}
}
