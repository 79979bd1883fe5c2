package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoint is one mount of the guest.
type mountPoint struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
	optional               bool // the kernel may lack it
}

const sane = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// earlyMounts is what init needs before it has the host's files.
var earlyMounts = []mountPoint{
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755", false},
	{"proc", "/proc", "proc", sane, "", false},
	{"sysfs", "/sys", "sysfs", sane, "", false},
}

// hostTag is the name of the 9p share.
const hostTag = "host"

// rootMounts makes the guest's root: the host's files below, memory above.
// cache=loose: the host's files are not expected to change under a test.
var rootMounts = []mountPoint{
	{hostTag, "/host", "9p", unix.MS_RDONLY, "trans=virtio,version=9p2000.L,msize=512000,cache=loose", false},
	{"tmpfs", "/upper", "tmpfs", 0, "mode=755,size=80%", false},
	{"overlay", "/root", "overlay", 0, "lowerdir=/host,upperdir=/upper/files,workdir=/upper/work", false},
}

// lateMounts is what a program expects, over the host's directories.
var lateMounts = []mountPoint{
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=755", false},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666", false},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777", false},
	{"proc", "/proc", "proc", sane, "", false},
	{"sysfs", "/sys", "sysfs", sane, "", false},
	{"bpf", "/sys/fs/bpf", "bpf", sane, "mode=700", false},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", sane, "", true},
	{"debugfs", "/sys/kernel/debug", "debugfs", sane, "", true},
	{"tracefs", "/sys/kernel/tracing", "tracefs", sane, "", true},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=755", false},
}

// mountAll mounts in order; each target is created when it is missing.
func mountAll(list []mountPoint) error {
	for _, m := range list {
		err := os.MkdirAll(m.target, 0o755)
		if err == nil {
			err = unix.Mount(m.source, m.target, m.fstype, m.flags, m.data)
		}
		if err != nil && !m.optional {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	return nil
}

// enterHost loads the modules of the initramfs and changes the root to the
// host's files. The kernel's own helpers (modprobe) see the new root too,
// because they share the file system context of process 1.
func enterHost(j *job) error {
	for _, m := range j.Boot {
		if err := loadModule(m); err != nil {
			return err
		}
	}
	for _, m := range rootMounts {
		if m.fstype == "overlay" {
			if err := errors.Join(os.Mkdir("/upper/files", 0o755), os.Mkdir("/upper/work", 0o755)); err != nil {
				return err
			}
		}
		if err := mountAll([]mountPoint{m}); err != nil {
			return err
		}
	}
	if err := unix.Chdir("/root"); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the new root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter the new root: %w", err)
	}
	return mountAll(lateMounts)
}

// loadModule loads one module; the kernel decompresses it.
func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	if !strings.HasSuffix(path, ".ko") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && err != unix.EEXIST {
		return fmt.Errorf("load module %s: %w", filepath.Base(path), err)
	}
	return nil
}

// prepare makes the rest of what a program expects of a booted system.
func prepare(j *job) error {
	dir := "/lib/modules/" + j.Release
	err := mountAll([]mountPoint{{source: j.Modules, target: dir, flags: unix.MS_BIND}})
	if err != nil {
		return err
	}
	if err := deviceNodes(filepath.Join(dir, "modules.devname")); err != nil {
		return err
	}
	if err := varRun(); err != nil {
		return err
	}
	for _, d := range []string{"/run/lock", "/run/netns"} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	links := map[string]string{"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join("/dev", name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if err := unix.Sethostname([]byte(hostName)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	// As a service manager sets it; the kernel's hard limit of 4096 is too low
	// for daemons that raise their own.
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1024, Max: 1 << 20}); err != nil {
		return fmt.Errorf("set the limit of open files: %w", err)
	}
	// The boot itself printed warnings only. From here on a failed run's log shows
	// what the network modules say.
	if err := os.WriteFile("/proc/sys/kernel/printk", []byte("7"), 0); err != nil {
		return err
	}
	return loopbackUp()
}

// hostName is the guest's.
const hostName = "netbraid-vm"

// varRun makes /var/run the same as /run.
func varRun() error {
	if to, err := filepath.EvalSymlinks("/var/run"); err == nil && to == "/run" {
		return nil
	}
	if err := os.RemoveAll("/var/run"); err != nil {
		return err
	}
	return os.Symlink("/run", "/var/run")
}

// deviceNodes makes the device nodes whose opening loads their module, such as
// /dev/net/tun and /dev/ppp.
func deviceNodes(list string) error {
	f, err := os.Open(list)
	if err != nil {
		return err
	}
	defer f.Close()
	nodes, err := parseDevname(f)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !n.char {
			continue
		}
		p := filepath.Join("/dev", n.name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		err := unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(n.major, n.minor)))
		if err != nil && err != unix.EEXIST {
			return fmt.Errorf("make %s: %w", p, err)
		}
	}
	return nil
}

// devNode is one line of modules.devname.
type devNode struct {
	name         string
	char         bool
	major, minor uint32
}

// parseDevname reads modules.devname of depmod(8): lines "module name
// c10:200", and comments. Names that leave /dev and lines of another form are
// errors.
func parseDevname(r io.Reader) ([]devNode, error) {
	var out []devNode
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 3 || !filepath.IsLocal(f[1]) {
			return nil, fmt.Errorf("modules.devname: bad line %q", sc.Text())
		}
		maj, mnr, ok := strings.Cut(f[2][1:], ":")
		a, err1 := strconv.ParseUint(maj, 10, 12)
		b, err2 := strconv.ParseUint(mnr, 10, 20)
		if !ok || err1 != nil || err2 != nil || f[2][0] != 'c' && f[2][0] != 'b' {
			return nil, fmt.Errorf("modules.devname: bad line %q", sc.Text())
		}
		out = append(out, devNode{f[1], f[2][0] == 'c', uint32(a), uint32(b)})
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("modules.devname: %w", err)
	}
	return out, nil
}

// loopbackUp sets lo administratively up (netdevice(7)).
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}
