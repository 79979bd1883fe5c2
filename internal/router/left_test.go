package router

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// without takes the sections of dataplanes and pairs out of a configuration.
func without(text string) string {
	var keep []string
	for _, s := range strings.Split(text, "\n\n") {
		if s = strings.TrimSpace(s); !strings.HasPrefix(s, "config dataplane") && !strings.HasPrefix(s, "config pair") {
			keep = append(keep, s)
		}
	}
	return strings.Join(keep, "\n\n") + "\n"
}

// made is what netbraid has written down of what it has made on dataplanes.
func (w *world) made() string {
	b, err := os.ReadFile(filepath.Join(w.dir, "run", "made"))
	if err != nil {
		return err.Error()
	}
	_, body, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(body)
}

// said counts the lines of the log that have words.
func (w *world) said(words string) (n int) {
	b, _ := os.ReadFile(filepath.Join(w.dir, "log"))
	for _, line := range strings.Split(string(b), "\n") {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// paired waits until both companions are there and in step.
func (w *world) paired() {
	w.t.Helper()
	w.eventually(30*time.Second, func() string {
		out, err := w.run("pair", "list")
		if err != nil || strings.Count(out, " up\n") != 2 {
			return out
		}
		return ""
	})
}

// plan is what netbraid plan says in the control namespace, and its exit code.
func (w *world) plan() string {
	w.t.Helper()
	cmd := exec.Command(os.Args[0], "plan", "-p", "", "-c", filepath.Join(w.dir, "config"), "--run-dir", filepath.Join(w.dir, "run"), "--state-dir", filepath.Join(w.dir, "lib"))
	cmd.Env = append(os.Environ(), command+"=1")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := w.control.Do(cmd.Start); err != nil {
		w.t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("%sexit %d\n", out.String(), cmd.ProcessState.ExitCode())
}

// TestLeftByFile: a dataplane and its pairs are taken out of the file while
// netbraid is not running. The next process takes them apart, and nothing that
// others have made; under another name of the dataplane they stay as they are.
func TestLeftByFile(t *testing.T) {
	w := newWorld(t)
	w.start()
	w.paired()
	text := w.read("network")
	w.control.IP("link add theirs type veth peer name theirs1")
	w.forward.IP("link add theirs type veth peer name theirs1")
	w.control.IP("route add 198.51.100.0/24 via 10.0.0.2")
	w.eventually(10*time.Second, func() string {
		if out := w.forward.IP("route show"); !strings.Contains(out, "198.51.100.0/24") {
			return out
		}
		return ""
	})
	w.kill()

	// Another name: the same companions, and the made of one name only.
	before := w.index("e0")
	w.write("network", strings.ReplaceAll(text, "'fwd'", "'other'"))
	w.start()
	w.paired()
	if after := w.index("e0"); after != before {
		t.Errorf("the companion was link %d, is %d", before, after)
	}
	if made := w.made(); !strings.Contains(made, `"other netns `) || strings.Contains(made, `"fwd netns `) {
		t.Errorf("remembered: %s", made)
	}
	w.kill()

	// A pair less: the other one stays.
	other := strings.ReplaceAll(text, "'fwd'", "'other'")
	w.write("network", strings.Replace(other, "config pair 'e1'\n", "config pair 'e1'\n\toption enabled '0'\n", 1))
	w.start()
	w.eventually(10*time.Second, func() string {
		if out := w.control.IP("-o link"); strings.Contains(out, " e1") {
			return out
		}
		return ""
	})
	if after := w.index("e0"); after != before {
		t.Errorf("the companion was link %d, is %d", before, after)
	}
	w.kill()
	w.write("network", other)
	w.start()
	w.paired()
	w.kill()

	// A file that is wrong takes nothing apart (there is no last good one).
	if err := os.RemoveAll(filepath.Join(w.dir, "lib")); err != nil {
		t.Fatal(err)
	}
	w.write("network", without(text)+"\nconfig dataplane 'other'\n\toption type 'nets'\n")
	w.start()
	w.eventually(10*time.Second, func() string {
		out, err := w.run("pair", "list")
		if err != nil || !strings.Contains(out, "left behind on other") || !strings.Contains(out, "the configuration has errors") {
			return out
		}
		return ""
	})
	if w.index("e0") != before {
		t.Error("a file with an error has cost a companion")
	}
	w.kill()
	// Nor does one in which only a pair is wrong.
	before = w.index("e1")
	w.write("network", strings.Replace(other, "config pair 'e1'\n", "config pair 'e1'\n\toption sync 'perhaps'\n", 1))
	w.start()
	w.eventually(10*time.Second, func() string {
		if out, err := w.run("pair", "list"); err != nil || strings.Count(out, " up\n") != 1 {
			return out
		}
		return ""
	})
	time.Sleep(500 * time.Millisecond)
	if out := w.control.IP("-o link"); !strings.Contains(out, " e1") || w.index("e1") != before || !strings.Contains(w.made(), `"lan"`) {
		t.Errorf("a pair with an error has cost its companion:\n%s\nremembered: %s", out, w.made())
	}
	w.kill()

	w.write("network", without(text))
	w.start()
	w.eventually(15*time.Second, func() string {
		if out := w.forward.IP("-o link show type veth") + w.control.IP("-o link"); strings.Contains(out, " nb") || strings.Contains(out, " e0") || strings.Contains(out, " e1") {
			return "something is left:\n" + out
		}
		if made := w.made(); made != "{}" {
			return "remembered: " + made
		}
		if out := w.forward.IP("route show"); strings.Contains(out, "198.51.100.0/24") {
			return out
		}
		return ""
	})
	// The namespace is one like any other: it can be reached itself.
	w.forward.IP("addr add 10.0.0.7/24 dev wan")
	w.eventually(12*time.Second, func() string {
		if out, err := w.forward.Try("ping", "-c1", "-W1", "10.0.0.2"); err != nil {
			return out
		}
		return ""
	})
	for _, out := range []string{w.control.IP("-o link"), w.forward.IP("-o link")} {
		if !strings.Contains(out, "theirs@") {
			t.Errorf("somebody else's link has gone:\n%s", out)
		}
	}
	if out := w.forward.IP("-o addr show dev wan"); !strings.Contains(w.forward.IP("-o link"), "wan@") || strings.Contains(out, "10.0.0.1") || strings.Contains(out, "fd00::1") {
		t.Errorf("the phy has gone, or has what came from its companion:\n%s", out)
	}
	w.eventually(5*time.Second, func() string {
		if out, err := w.run("pair", "list"); err != nil || !strings.Contains(out, "no pair is configured") {
			return out
		}
		return ""
	})
}

// TestLeftUnreachable: what cannot be reached is told once, kept, and taken
// apart when it can be.
func TestLeftUnreachable(t *testing.T) {
	w, s := newVPPWorld(t)
	w.start()
	w.paired()
	w.eventually(10*time.Second, func() string {
		if got := w.plan(); got != "nothing to do\nexit 0\n" {
			return got
		}
		return ""
	})
	text := w.read("network")
	w.write("network", strings.Replace(text, "config pair 'e1'\n", "config pair 'e1'\n\toption sync '0'\n\toption host 'x1'\n", 1))
	if got, want := w.plan(), "make again pair e1 of GigabitEthernet0/4/0 and companion x1 on dataplane vpp: host from 'e1' to 'x1', sync from '1' to '0'\nexit 2\n"; got != want {
		t.Errorf("plan says\n%s, want\n%s", got, want)
	}
	w.kill()
	w.write("network", without(text))
	if got := w.plan(); !strings.Contains(got, "take apart pair e0 of GigabitEthernet0/3/0 and companion e0 on dataplane vpp\n") {
		t.Errorf("plan says\n%s", got)
	}
	s.Down()
	if got := w.plan(); !strings.Contains(got, "dataplane vpp cannot be reached now") || !strings.Contains(got, "companion e1 on dataplane vpp (when the dataplane can be reached)\nexit 2\n") {
		t.Errorf("plan says\n%s", got)
	}
	w.start()
	left := func(also string) func() string {
		return func() string {
			out, err := w.run("pair", "list")
			if err != nil || !strings.Contains(out, "left behind on vpp (vpp at "+s.Socket()+")") || !strings.Contains(out, also) {
				return out
			}
			return ""
		}
	}
	w.eventually(20*time.Second, left("2 pairs (GigabitEthernet0/3/0, GigabitEthernet0/4/0): VPP at "))
	if n := w.said("pairs are left behind on a dataplane"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if made := w.made(); strings.Count(made, "GigabitEthernet") != 2 {
		t.Errorf("remembered: %s", made)
	}
	// A second process tries again, and keeps it.
	w.kill()
	w.start()
	w.eventually(20*time.Second, left("connect: "))
	s.Up()
	if out, err := w.run("reload"); err != nil {
		t.Fatal(out, err)
	}
	w.eventually(20*time.Second, func() string {
		if out := w.control.IP("-o link"); strings.Contains(out, " e0") || strings.Contains(out, " e1") {
			return out
		}
		if made := w.made(); made != "{}" {
			return "remembered: " + made
		}
		return ""
	})
	w.eventually(20*time.Second, func() string {
		if n := s.RouteCount(0, 0, vppSource); n != 0 {
			return "VPP has routes of ours"
		}
		return ""
	})
	if out, err := w.run("pair", "list"); err != nil || strings.Contains(out, "left behind") {
		t.Errorf("%s %v", out, err)
	}
}
