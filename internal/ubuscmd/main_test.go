package ubuscmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netbraid/internal/nstest"
	"netbraid/ubus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func startBroker(t *testing.T) (b *ubus.Broker, path, aclDir string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ubuscmd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755) // others may connect
	path = filepath.Join(dir, "s")
	l, c, err := ubus.ListenOrDial(context.Background(), path)
	if err != nil || c != nil {
		t.Fatal(c, err)
	}
	b = ubus.NewBroker(ubus.BrokerOptions{ACLDir: dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	go b.Serve(l)
	t.Cleanup(func() { b.Close() })
	return b, path, dir
}

// background is a command that runs beside others.
type background struct {
	stdout, stderr nstest.Output
	cancel         context.CancelFunc
	rc             chan int
}

func start(path string, args []string) *background {
	ctx, cancel := context.WithCancel(context.Background())
	bg := &background{cancel: cancel, rc: make(chan int, 1)}
	go func() {
		bg.rc <- run(ctx, "ubus", append([]string{"-s", path}, args...), &bg.stdout, &bg.stderr, false)
	}()
	return bg
}

func (bg *background) finish(t *testing.T, self bool) int {
	t.Helper()
	if !self {
		bg.cancel()
	}
	defer bg.cancel()
	select {
	case rc := <-bg.rc:
		return rc
	case <-time.After(10 * time.Second):
		t.Fatal("did not end")
		return 0
	}
}

var (
	hexID  = regexp.MustCompile(`([@#]| )[0-9a-f]{8}\b`)
	jsonID = regexp.MustCompile(`"(id|objid|objtype)":-?\d{2,}`)
)

// plain takes random ids out of a text.
func plain(s string) string {
	s = hexID.ReplaceAllString(s, "${1}ID")
	return jsonID.ReplaceAllString(s, `"$1":ID`)
}

func compare(t *testing.T, run recRun, rc int, stdout, stderr string) {
	t.Helper()
	if run.RC != nil && rc != *run.RC {
		t.Errorf("%q: exit code %d, want %d", run.Cmd, rc, *run.RC)
	}
	if got, want := plain(stdout), plain(run.Stdout); got != want {
		t.Errorf("%q: stdout\n got %q\nwant %q", run.Cmd, got, want)
	}
	if stderr != run.Stderr {
		t.Errorf("%q: stderr\n got %q\nwant %q", run.Cmd, stderr, run.Stderr)
	}
}

// The recorded command lines print and return the same against our broker.
func TestRecordedRuns(t *testing.T) {
	t.Parallel()
	var par parallel
	defer par.wait()
	for _, name := range []string{
		"01-empty-bus", "02-list", "03-list-glob", "04-list-verbose", "05-list-unknown", "06-list-verbose-all",
		"10-call-status", "11-call-netifd-more", "12-call-errors", "31-subscribe-errors", "32-notify-reply",
		"33-listen-send", "34-listen-timeout", "35-monitor", "36-monitor-filter", "37-wait_for", "40-echo-start",
		"41-call-all-types", "42-call-bad-type", "43-call-status-codes", "44-timeout-deferred", "51-fd-echo",
	} {
		par.run(t, name, func(t *testing.T) {
			_, path, _ := startBroker(t)
			if name >= "02" && name < "13" || name == "31-subscribe-errors" {
				startReplay(t, path, "10-call-status", "11-call-netifd-more", "12-call-errors")
			} else if name >= "30" {
				startEcho(t, path)
			}
			h, _ := load(t, name)
			replay(t, path, h.Runs)
		})
	}
}

// replay runs commands through cli.sock in order; the others run from the
// start until their place in the list.
func replay(t *testing.T, path string, runs []recRun) {
	busy := watch(t, path)
	bgs := map[int]*background{}
	for i, r := range runs {
		if !strings.HasSuffix(r.Cmd[2], "/cli.sock") {
			seen := busy.Load()
			bgs[i] = start(path, r.Cmd[3:])
			settle(t, busy, seen)
		}
	}
	for i, r := range runs {
		if bg := bgs[i]; bg != nil {
			settle(t, busy, 0)
			rc := bg.finish(t, r.Cmd[3] == "wait_for")
			compare(t, r, rc, bg.stdout.String(), bg.stderr.String())
			continue
		}
		var stdout, stderr bytes.Buffer
		rc := run(context.Background(), "ubus", append([]string{"-s", path}, r.Cmd[3:]...), &stdout, &stderr, false)
		compare(t, r, rc, stdout.String(), stderr.String())
		if len(bgs) > 0 {
			settle(t, busy, 0)
		}
	}
}

// watch counts the messages on the bus.
func watch(t *testing.T, path string) *atomic.Int64 {
	t.Helper()
	c, err := ubus.Dial(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	n := new(atomic.Int64)
	if err := c.Monitor(context.Background(), func(ubus.MonitorMessage) { n.Add(1) }); err != nil {
		t.Fatal(err)
	}
	return n
}

// settle waits until more than seen messages came and then none for a while.
func settle(t *testing.T, busy *atomic.Int64, seen int64) {
	t.Helper()
	last, since := int64(-1), time.Now()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if n := busy.Load(); n != last {
			last, since = n, time.Now()
		}
		if last > seen && time.Since(since) > 100*time.Millisecond {
			return
		}
	}
	t.Fatal("the bus does not come to rest")
}

// asNobody runs f on a thread of uid and gid 65534. The goroutine must not be
// used afterwards.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for _, call := range []uintptr{syscall.SYS_SETRESGID, syscall.SYS_SETRESUID} {
			if _, _, errno := syscall.RawSyscall(call, 65534, 65534, 65534); errno != 0 {
				t.Error(errno)
				return
			}
		}
		f()
	}()
	<-done
}

// Access lists, with real credentials of the socket.
func TestRecordedACL(t *testing.T) {
	t.Parallel()
	var par parallel
	defer par.wait()
	for _, name := range []string{"80-acl-none", "81-acl-user", "82-acl-group-wildcards"} {
		par.run(t, name, func(t *testing.T) {
			b, path, dir := startBroker(t)
			startEcho(t, path)
			h, _ := load(t, name)
			for file, text := range h.ACL {
				os.WriteFile(filepath.Join(dir, file), text, 0o644)
			}
			b.ReloadACL()
			for _, r := range h.Runs {
				if r.RC == nil {
					continue
				}
				var stdout, stderr bytes.Buffer
				rc := -1
				asNobody(t, func() {
					rc = run(context.Background(), "ubus", append([]string{"-s", path}, r.Cmd[3:]...), &stdout, &stderr, false)
				})
				compare(t, r, rc, stdout.String(), stderr.String())
			}
		})
	}
}

func TestRecordedACLVariants(t *testing.T) {
	variants := loadVariants(t)
	for i, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			b, path, dir := startBroker(t)
			startEcho(t, path)
			if strings.HasPrefix(v.name, "removed again") { // the lists before stay in force
				variants[i-1].write(t, dir)
				b.ReloadACL()
				for file := range variants[i-1].Files {
					os.Remove(filepath.Join(dir, file))
				}
			}
			v.write(t, dir)
			b.ReloadACL()
			for _, r := range v.Runs {
				var want recRun
				if errors.Join(json.Unmarshal(r[0], &want.Cmd), json.Unmarshal(r[1], &want.RC), json.Unmarshal(r[2], &want.Stderr)) != nil {
					t.Fatal(r)
				}
				var stderr bytes.Buffer
				rc := -1
				asNobody(t, func() {
					rc = run(context.Background(), "ubus", append([]string{"-s", path}, want.Cmd...), io.Discard, &stderr, false)
				})
				compare(t, want, rc, "", stderr.String())
			}
		})
	}
}

// variant is a directory of access lists, and what it allowed.
type variant struct {
	name  string
	Files map[string]json.RawMessage
	Modes map[string]string
	Runs  [][3]json.RawMessage
}

// loadVariants returns them in the order in which they were tried.
func loadVariants(t *testing.T) (list []variant) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(unzip(t, "83-acl-variants.json")))
	d.Token()
	for d.More() {
		name, err := d.Token()
		v := variant{name: name.(string)}
		if err := errors.Join(err, d.Decode(&v)); err != nil {
			t.Fatal(err)
		}
		if v.name == "file owner nobody" { // its content was not recorded
			v.Files = map[string]json.RawMessage{"a.json": []byte(`{"user":"nobody","access":{"echo":{"methods":["*"]}},"send":["foo"]}`)}
		}
		list = append(list, v)
	}
	if len(list) < 21 {
		t.Fatal(len(list), "variants")
	}
	return list
}

func (v *variant) write(t *testing.T, dir string) {
	t.Helper()
	for file, text := range v.Files {
		var s string
		if json.Unmarshal(text, &s) == nil {
			text = []byte(s)
		}
		mode := uint64(0o644)
		if m := v.Modes[file]; m != "" {
			var err error
			if mode, err = strconv.ParseUint(strings.TrimPrefix(m, "0o"), 8, 32); err != nil {
				t.Fatal(err)
			}
		}
		owner := 0
		if v.name == "file owner nobody" {
			owner = 65534
		}
		full := filepath.Join(dir, file)
		if err := errors.Join(os.WriteFile(full, text, 0o644), os.Chmod(full, os.FileMode(mode)), os.Chown(full, owner, owner)); err != nil {
			t.Fatal(err)
		}
	}
}

// The command itself as nobody, without access lists.
func TestRecordedDirectNobody(t *testing.T) {
	var runs []recRun
	if err := json.Unmarshal(unzip(t, "85-acl-direct-nobody.json"), &runs); err != nil || len(runs) != 5 {
		t.Fatal(runs, err)
	}
	_, path, _ := startBroker(t)
	startEcho(t, path)
	t.Setenv(SocketEnv, path)
	for _, r := range runs {
		var stdout, stderr bytes.Buffer
		rc := -1
		asNobody(t, func() { rc = run(context.Background(), "ubus", r.Cmd[5:], &stdout, &stderr, false) })
		compare(t, r, rc, stdout.String(), stderr.String())
	}
}

// Usage, terminals, a broker that dies.
func TestRecordedMisc(t *testing.T) {
	var misc struct {
		TTY    []recRun `json:"stderr_is_tty"`
		Others []recRun
	}
	if err := json.Unmarshal(unzip(t, "90-cli-misc.json"), &misc); err != nil {
		t.Fatal(err)
	}
	_, path, _ := startBroker(t)
	startEcho(t, path)
	for _, r := range append(misc.TTY, misc.Others...) {
		if r.Killed {
			testKilled(t, r)
			continue
		}
		if r.TTY != nil {
			r.Stderr = strings.ReplaceAll(*r.TTY, "\r\n", "\n")
		}
		var stdout, stderr bytes.Buffer
		t.Setenv(SocketEnv, path)
		rc := run(context.Background(), "ubus", r.Cmd[1:], &stdout, &stderr, r.TTY != nil)
		compare(t, r, rc, stdout.String(), stderr.String())
	}
}

func testKilled(t *testing.T, r recRun) {
	b, path, _ := startBroker(t)
	startEcho(t, path)
	busy := watch(t, path)
	args := r.Cmd[1:]
	if args[0] == "-t" {
		args[1] = "1"
	}
	bg := start(path, args)
	settle(t, busy, 0)
	b.Close()
	ends := *r.RC != 0
	if !ends {
		select {
		case <-bg.rc:
			t.Errorf("%q ended", r.Cmd)
		case <-time.After(200 * time.Millisecond):
		}
	}
	rc := bg.finish(t, ends)
	compare(t, r, rc, bg.stdout.String(), bg.stderr.String())
}

func TestOptions(t *testing.T) {
	opt, rest, err := parseOptions([]string{"-St5", "call", "-s", "x", "a", "--", "-v"})
	if err != nil || !opt.simple || opt.timeout != 5 || opt.socket != "x" || strings.Join(rest, " ") != "call a -v" {
		t.Error(opt, rest, err)
	}
	if _, _, err := parseOptions([]string{"-s"}); err == nil {
		t.Error("option without argument")
	}
	for in, want := range map[string]int{"5": 5, " -3x": -3, "x": 0, "": 0, "99999999999999999999": 999999999} {
		if got := atoi(in); got != want {
			t.Errorf("atoi(%q) = %d", in, got)
		}
	}
}
