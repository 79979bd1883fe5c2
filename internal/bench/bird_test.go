package bench

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// birdConf makes BIRD learn what others write to the kernel and write nothing.
// Nothing of /etc/bird is used.
const birdConf = `log "%s" all;
router id 10.0.0.1;
protocol device { scan time 3600; }
protocol kernel { scan time %d; learn; persist; ipv4 { import all; export none; }; }
`

const (
	birdScan = 6 * time.Second // scan time of the kernel protocol
	birdIdle = 300 * time.Millisecond
	birdLook = 10 * time.Millisecond
)

// findBird finds BIRD; why says what is missing.
func findBird() (why string) {
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if !strings.Contains(os.Getenv("PATH"), dir) {
			os.Setenv("PATH", os.Getenv("PATH")+":"+dir)
		}
	}
	for _, program := range []string{"bird", "birdc"} {
		if _, err := exec.LookPath(program); err != nil {
			return "no " + program + ": apt-get install bird2"
		}
	}
	return ""
}

// startBird starts BIRD's keeper; why says what is missing.
func startBird(t testing.TB, ns *nstest.NS) (c *child, why string) {
	t.Helper()
	if why := findBird(); why != "" {
		return nil, why
	}
	return startRole(t, ns, "bird"), ""
}

// birdRole keeps one BIRD, which ends with it. BIRD cannot be told to scan
// without learning everything anew (`reload`), so it is stopped (SIGSTOP)
// between measurements, and scans at once when it goes on with its time for the
// next scan past.
type birdRole struct {
	cmd     *exec.Cmd
	dir     string
	stopped time.Time // since when it sleeps
}

func (b *birdRole) do(verb string, args []string) (reply, error) {
	switch verb {
	case "learn": // learn DIR: a new BIRD learns everything, and stops
		return b.learn(args[0])
	case "scan": // one more scan
		return b.scan()
	case "count": // routes known
		return b.count()
	case "end":
		return reply{}, b.end()
	}
	return reply{}, errors.New("no such command")
}

func (b *birdRole) learn(dir string) (reply, error) {
	if err := b.end(); err != nil {
		return reply{}, err
	}
	conf := filepath.Join(dir, "bird.conf")
	text := fmt.Sprintf(birdConf, filepath.Join(dir, "bird.log"), int(birdScan.Seconds()))
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return reply{}, err
	}
	// The death signal comes when the thread that started BIRD ends: the
	// first, to which serve is locked.
	cmd := exec.Command("bird", "-f", "-c", conf, "-s", filepath.Join(dir, "bird.ctl"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return reply{}, err
	}
	b.cmd, b.dir = cmd, dir
	return b.untilIdle(0)
}

func (b *birdRole) scan() (reply, error) {
	// The next scan is due since the last one began.
	time.Sleep(birdScan - time.Since(b.stopped))
	before, err := b.cpu()
	if err != nil {
		return reply{}, err
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return reply{}, err
	}
	return b.untilIdle(before)
}

// untilIdle waits until BIRD has worked and then done nothing for a while,
// stops it, and gives its CPU time since it had used before.
func (b *birdRole) untilIdle(before time.Duration) (r reply, err error) {
	const least = time.Millisecond // what counts as work
	begin := time.Now()
	active, used := begin, before
	for time.Since(active) < birdIdle || used-before < least {
		if time.Since(begin) > birdScan+settleTime {
			return r, errors.New("BIRD does not come to rest")
		}
		time.Sleep(birdLook)
		now, err := b.cpu()
		if err != nil {
			return r, err
		}
		if now-used > birdLook/20 {
			active = time.Now()
		}
		used = now
	}
	b.stopped = time.Now()
	return reply{CPU: int64(used - before), Wall: int64(active.Sub(begin))}, b.cmd.Process.Signal(syscall.SIGSTOP)
}

// cpu is the time that BIRD, which has one thread, was on a processor.
func (b *birdRole) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", b.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("BIRD has ended: %w", err)
	}
	first, _, _ := strings.Cut(string(text), " ")
	ns, err := strconv.ParseInt(first, 10, 64)
	return time.Duration(ns), err
}

func (b *birdRole) count() (reply, error) {
	before, err := b.cpu()
	if err != nil {
		return reply{}, err
	}
	if err := b.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		return reply{}, err
	}
	out, err := exec.Command("birdc", "-r", "-s", filepath.Join(b.dir, "bird.ctl"), "show", "route", "count").CombinedOutput()
	if err != nil {
		return reply{}, fmt.Errorf("birdc: %w: %s", err, out)
	}
	// 1000000 of 1000000 routes for 1000000 networks in table master4
	for line := range strings.Lines(string(out)) {
		if f := strings.Fields(line); len(f) > 4 && f[len(f)-1] == "master4" {
			n, err := strconv.ParseInt(f[0], 10, 64)
			_, err2 := b.untilIdle(before)
			return reply{N: n}, errors.Join(err, err2)
		}
	}
	return reply{}, fmt.Errorf("birdc says %q", out)
}

func (b *birdRole) end() error {
	if b.cmd == nil {
		return nil
	}
	err := b.cmd.Process.Kill()
	_ = b.cmd.Wait() // it says "killed"
	b.cmd = nil
	return err
}

// keepBird is the life of the keeper.
func keepBird() int {
	runtime.LockOSThread()
	b := &birdRole{}
	defer b.end()
	return serve(b.do)
}
