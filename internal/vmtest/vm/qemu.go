package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// machine is what QEMU is told.
type machine struct {
	kernel    string // path of the kernel image
	initrd    string // path of the initramfs
	cpus      int
	memoryMiB int
	kvm       bool
	verbose   bool // the kernel prints everything on its console, not warnings only
	ctlFD     int  // inherited socket: the virtio-serial port
	consoleFD int  // inherited socket: the kernel's console
	extra     []string
}

// kernelArgs is the kernel command line. netbraid.vm=1 tells vmtest.InVM where
// it is; the kernel itself ignores a parameter with a dot that no module has.
func (m *machine) kernelArgs() string {
	level := "loglevel=5" // warnings and worse: the emulated serial line is slow
	if m.verbose {
		level = "loglevel=7"
	}
	return strings.Join([]string{
		"console=ttyS0", level,
		"panic=-1", "oops=panic", // with -no-reboot QEMU exits, and nothing hangs half dead
		"mitigations=off", "nokaslr", "audit=0", "apparmor=0",
		"no_timer_check", "tsc=reliable", "rcupdate.rcu_expedited=1",
		"random.trust_cpu=on",
		vmArg,
	}, " ")
}

// vmArg marks the guest; package vmtest looks for it in /proc/cmdline.
const vmArg = "netbraid.vm=1"

// args is QEMU's command line without the program.
func (m *machine) args() []string {
	a := []string{
		"-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
		"-nic", "none",
		"-M", "q35,usb=off,smbus=off,sata=off,hpet=off",
		"-smp", strconv.Itoa(m.cpus), "-m", strconv.Itoa(m.memoryMiB) + "M",
	}
	if m.kvm {
		a = append(a, "-accel", "kvm", "-cpu", "host")
	} else {
		// Without 5-level page tables: each translation would cost one step more.
		// One thread for all processors: with one each, a processor can run an
		// old translation of code that another has just patched, and a kernel
		// that is patching itself (static keys, at boot) dies of a breakpoint
		// that is no longer there. It costs a tenth of the speed.
		a = append(a, "-accel", "tcg,thread=single", "-cpu", "max,la57=off")
	}
	a = append(a,
		"-kernel", m.kernel, "-initrd", m.initrd, "-append", m.kernelArgs(),
		"-chardev", fmt.Sprintf("socket,id=console,fd=%d", m.consoleFD),
		"-serial", "chardev:console",
		"-chardev", fmt.Sprintf("socket,id=ctl,fd=%d", m.ctlFD),
		"-device", "virtio-serial-pci,max_ports=2",
		"-device", "virtserialport,nr=1,chardev=ctl,name="+portName,
		"-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
		"-device", "virtio-9p-pci,fsdev=host,mount_tag="+hostTag,
	)
	return append(a, m.extra...)
}

// bootModules gives the files (as modules.dep names them) that must be loaded,
// in order, for the named modules; deps is the content of modules.dep and
// builtin that of modules.builtin (depmod(8)).
func bootModules(deps, builtin io.Reader, names ...string) ([]string, error) {
	files := map[string]string{}   // module name → file
	needs := map[string][]string{} // file → files
	if err := eachLine(deps, func(line string) {
		if file, list, ok := strings.Cut(line, ":"); ok {
			files[moduleName(file)] = file
			needs[file] = strings.Fields(list)
		}
	}); err != nil {
		return nil, fmt.Errorf("modules.dep: %w", err)
	}
	inKernel := map[string]bool{}
	if err := eachLine(builtin, func(line string) { inKernel[moduleName(line)] = true }); err != nil {
		return nil, fmt.Errorf("modules.builtin: %w", err)
	}
	var order []string
	seen := map[string]bool{}
	var add func(file string)
	add = func(file string) {
		if seen[file] {
			return
		}
		seen[file] = true
		for _, f := range needs[file] {
			add(f)
		}
		order = append(order, file)
	}
	for _, n := range names {
		switch file, ok := files[n]; {
		case ok:
			add(file)
		case !inKernel[n]:
			return nil, fmt.Errorf("the kernel has no module %s", n)
		}
	}
	return order, nil
}

// moduleName is the module's name as lsmod(8) shows it.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(strings.TrimSpace(file)), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

func eachLine(r io.Reader, fn func(string)) error {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		fn(sc.Text())
	}
	return sc.Err()
}

// selectEnv gives the part of the environment that goes into the guest: what Go,
// netbraid and programs in general look at, and the extra names. PATH always has
// the directories of system programs.
func selectEnv(env, extra []string) []string {
	names := append([]string{"HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ", "PWD"}, extra...)
	prefixes := []string{"GO", "NETBRAID", "LC_", "XDG_CACHE_HOME="}
	var out []string
	search := ""
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		switch {
		case name == "PATH":
			search = value
		case slices.Contains(names, name),
			slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(e, p) }):
			out = append(out, e)
		}
	}
	dirs := strings.Split(search, ":")
	for _, d := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return append(out, "PATH="+strings.TrimPrefix(strings.Join(dirs, ":"), ":"))
}

// testFlags reads the flags of a compiled Go test binary: the files that it
// writes for go test (profiles; relative ones against dir), and its own time
// limit (0 when it has none).
func testFlags(args []string, dir string) (collect []string, limit time.Duration) {
	outDir := dir
	for _, a := range args {
		if v, ok := testFlag(a, "outputdir"); ok {
			outDir = v
		}
	}
	for _, a := range args {
		if a == "-args" || a == "--args" {
			break
		}
		for _, name := range []string{"coverprofile", "cpuprofile", "memprofile", "blockprofile", "mutexprofile", "trace"} {
			if v, ok := testFlag(a, name); ok && v != "" {
				if !path.IsAbs(v) {
					v = path.Join(outDir, v)
				}
				collect = append(collect, v)
			}
		}
		if v, ok := testFlag(a, "timeout"); ok {
			limit, _ = time.ParseDuration(v)
		}
	}
	return collect, limit
}

// testFlag gives the value of the flag -test.name=value, with one dash or two.
func testFlag(arg, name string) (string, bool) {
	if strings.HasPrefix(arg, "--") {
		arg = arg[1:]
	}
	return strings.CutPrefix(arg, "-test."+name+"=")
}

// consoleLog keeps the kernel's messages: the first and the last, bounded.
type consoleLog struct {
	head, tail []byte
	lost       int // bytes between head and tail that were dropped
}

const consoleKeep = 256 << 10 // bytes, each of head and tail

// Write implements io.Writer; it never fails.
func (l *consoleLog) Write(b []byte) (int, error) {
	n := len(b)
	if room := consoleKeep - len(l.head); room > 0 {
		k := min(room, len(b))
		l.head = append(l.head, b[:k]...)
		b = b[k:]
	}
	l.tail = append(l.tail, b...)
	if over := len(l.tail) - consoleKeep; over > consoleKeep/4 {
		l.lost += over
		l.tail = append(l.tail[:0], l.tail[over:]...)
	}
	return n, nil
}

// bytes is the log with Unix line ends and a note where bytes were dropped.
func (l *consoleLog) bytes() []byte {
	b := slices.Clone(l.head)
	if l.lost > 0 {
		b = fmt.Appendf(b, "\n[... %d bytes dropped ...]\n", l.lost)
	}
	return bytes.ReplaceAll(append(b, l.tail...), []byte("\r"), nil)
}

// reason is the line of the log that says why the kernel stopped, or "".
func (l *consoleLog) reason() string {
	for _, key := range []string{"vm init: ", "Kernel panic - ", "BUG: ", "Oops: "} {
		for line := range strings.Lines(string(l.bytes())) {
			if i := strings.Index(line, key); i >= 0 {
				return strings.TrimSpace(line[i:])
			}
		}
	}
	return ""
}
