package main

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCPIO(t *testing.T) {
	var buf bytes.Buffer
	w := &cpioWriter{w: &buf}
	w.dir("dev", 0o755)
	w.char("dev/console", 0o600, 5, 1)
	w.file("init", 0o755, []byte("12345"))
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	// Written by hand from the format's description.
	h := func(ino, mode, nlink, size, rmaj, rmin, namelen string) string {
		z := "00000000"
		return "070701" + ino + mode + z + z + nlink + z + size + z + z + rmaj + rmin + namelen + z
	}
	want := h("00000001", "000041ed", "00000002", "00000000", "00000000", "00000000", "00000004") + "dev\x00\x00\x00" +
		h("00000002", "00002180", "00000001", "00000000", "00000005", "00000001", "0000000c") + "dev/console\x00\x00\x00" +
		h("00000003", "000081ed", "00000001", "00000005", "00000000", "00000000", "00000005") + "init\x00\x00" + "12345\x00\x00\x00" +
		h("00000000", "00000000", "00000001", "00000000", "00000000", "00000000", "0000000b") + "TRAILER!!!\x00\x00\x00\x00"
	if got := buf.String(); got != want {
		t.Errorf("archive differs (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestCPIOError(t *testing.T) {
	w := &cpioWriter{w: failWriter{}}
	w.file("init", 0o755, []byte("x"))
	if err := w.close(); err == nil {
		t.Error("no error from a writer that fails")
	}
}

func TestMachineArgs(t *testing.T) {
	m := &machine{kernel: "/k", initrd: "/i", cpus: 3, memoryMiB: 512, ctlFD: 3, consoleFD: 4, extra: []string{"-s"}}
	a := m.args()
	for _, pair := range [][2]string{
		{"-nic", "none"}, {"-smp", "3"}, {"-m", "512M"}, {"-kernel", "/k"}, {"-initrd", "/i"},
		{"-append", m.kernelArgs()}, {"-accel", "tcg,thread=single"}, {"-serial", "chardev:console"},
	} {
		if i := slices.Index(a, pair[0]); i < 0 || i+1 == len(a) || a[i+1] != pair[1] {
			t.Errorf("no %s %s in %q", pair[0], pair[1], a)
		}
	}
	all := strings.Join(a, " ")
	if !strings.Contains(all, "readonly=on") || strings.Contains(all, "netdev") || a[len(a)-1] != "-s" {
		t.Errorf("args %q", a)
	}
	m.kvm = true
	if all = strings.Join(m.args(), " "); !strings.Contains(all, "-accel kvm") || strings.Contains(all, "tcg") {
		t.Errorf("with KVM: %q", all)
	}
	for _, want := range []string{"console=ttyS0", "panic=-1", "netbraid.vm=1", "loglevel=5"} {
		if !slices.Contains(strings.Fields(m.kernelArgs()), want) {
			t.Errorf("kernel arguments %q lack %s", m.kernelArgs(), want)
		}
	}
	if m.verbose = true; !strings.Contains(m.kernelArgs(), "loglevel=7") {
		t.Errorf("verbose: %q", m.kernelArgs())
	}
}

func TestBootModules(t *testing.T) {
	deps := "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n" +
		"kernel/net/9p/9pnet.ko.xz:\nkernel/fs/netfs/netfs.ko.xz:\n" +
		"kernel/net/9p/9pnet-virtio.ko.xz: kernel/net/9p/9pnet.ko.xz\n"
	builtin := "kernel/drivers/virtio/virtio_pci.ko\n"
	get := func(names ...string) ([]string, error) {
		return bootModules(strings.NewReader(deps), strings.NewReader(builtin), names...)
	}
	got, err := get("virtio_pci", "9pnet_virtio", "9p")
	want := []string{
		"kernel/net/9p/9pnet.ko.xz", "kernel/net/9p/9pnet-virtio.ko.xz",
		"kernel/fs/netfs/netfs.ko.xz", "kernel/fs/9p/9p.ko.xz",
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if got, err := get("overlay"); err == nil {
		t.Errorf("a module that is not there: %q, no error", got)
	}
}

// FuzzBootModules holds that any modules.dep, circular ones too, gives each file
// at most once and ends.
func FuzzBootModules(f *testing.F) {
	f.Add("a.ko: b.ko\nb.ko: a.ko\n", "c.ko\n")
	f.Add("x/a-b.ko.xz:\n", "")
	f.Fuzz(func(t *testing.T, deps, builtin string) {
		got, err := bootModules(strings.NewReader(deps), strings.NewReader(builtin), "a", "c")
		if err != nil && got != nil {
			t.Fatalf("%q with %v", got, err)
		}
		seen := map[string]bool{}
		for _, g := range got {
			if seen[g] {
				t.Fatalf("%q twice in %q", g, got)
			}
			seen[g] = true
		}
	})
}

// FuzzDevname holds that no node leaves /dev.
func FuzzDevname(f *testing.F) {
	f.Add("# Device nodes\ntun net/tun c10:200\nppp_generic ppp c108:0\nloop loop-control b7:1\n")
	f.Add("a ../../etc/passwd c1:1")
	f.Add("a b c")
	f.Fuzz(func(t *testing.T, in string) {
		nodes, err := parseDevname(strings.NewReader(in))
		if err != nil && nodes != nil {
			t.Fatalf("%v with %v", nodes, err)
		}
		for _, n := range nodes {
			if !strings.HasPrefix(filepath.Join("/dev", n.name)+"/", "/dev/") || n.major >= 1<<12 || n.minor >= 1<<20 {
				t.Fatalf("node %+v", n)
			}
		}
	})
}

func TestDevname(t *testing.T) {
	got, err := parseDevname(strings.NewReader("# comment\ntun net/tun c10:200\nx y b7:1\n"))
	want := []devNode{{"net/tun", true, 10, 200}, {"y", false, 7, 1}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"tun net/tun", "tun /dev/tun c1:1", "tun tun x1:1", "tun tun c99999:1", "tun tun c1"} {
		if got, err := parseDevname(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %v, no error", bad, got)
		}
	}
}

func TestSelectEnv(t *testing.T) {
	got := selectEnv([]string{
		"GOCACHE=/c", "SECRET=1", "NETBRAID_X=a=b", "PATH=/opt:/bin", "LC_ALL=C", "KEEP=2", "HOME=/h",
	}, []string{"KEEP"})
	want := []string{
		"GOCACHE=/c", "NETBRAID_X=a=b", "LC_ALL=C", "KEEP=2", "HOME=/h",
		"PATH=/opt:/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := selectEnv(nil, nil); len(got) != 1 || strings.Contains(got[0], "=:") || strings.Contains(got[0], "::") {
		t.Errorf("without PATH: %q", got)
	}
}

func TestTestFlags(t *testing.T) {
	files, limit := testFlags([]string{
		"/tmp/x.test", "-test.paniconexit0", "-test.timeout=1h0m0s", "-test.coverprofile=/tmp/_cover_.out",
		"--test.cpuprofile=cpu.out", "-test.outputdir=/w", "-test.run=-test.trace=x", "-args", "-test.memprofile=m",
	}, "/dir")
	if want := []string{"/tmp/_cover_.out", "/w/cpu.out"}; !slices.Equal(files, want) || limit != time.Hour {
		t.Errorf("%q, %v, want %q, 1h", files, limit, want)
	}
	if files, limit := testFlags([]string{"sh", "-c", "true"}, "/d"); files != nil || limit != 0 {
		t.Errorf("no test binary: %q, %v", files, limit)
	}
}

func TestConsoleLog(t *testing.T) {
	var l consoleLog
	if l.reason() != "" || len(l.bytes()) != 0 {
		t.Errorf("empty log: %q", l.reason())
	}
	l.Write([]byte("[    0.1] first\r\n"))
	for range 40 {
		l.Write(bytes.Repeat([]byte("noise 67890123\r\n"), 4096))
	}
	l.Write([]byte("[    1.2] Kernel panic - not syncing: sysrq triggered crash\r\n[ 1.3] CPU 0\r\n"))
	b := l.bytes()
	if len(b) > 3*consoleKeep || !bytes.HasPrefix(b, []byte("[    0.1] first\n")) || !bytes.HasSuffix(b, []byte("CPU 0\n")) {
		t.Errorf("%d bytes kept, from %.20q", len(b), b)
	}
	if !bytes.Contains(b, []byte("bytes dropped")) {
		t.Error("no note of the dropped bytes")
	}
	if got := l.reason(); got != "Kernel panic - not syncing: sysrq triggered crash" {
		t.Errorf("reason %q", got)
	}
}

func TestNewestKernel(t *testing.T) {
	got := newestKernel([]string{
		"linux-image-6.12.99+deb12-amd64", "linux-image-6.12.117+deb12-amd64", "linux-image-6.12.120+deb12-cloud-amd64",
		"linux-image-6.12.118+deb12-amd64-unsigned", "linux-image-6.13.1+deb12-amd64", "linux-image-amd64",
	})
	if want := "linux-image-6.12.117+deb12-amd64"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := newestKernel(nil); got != "" {
		t.Errorf("of none: %q", got)
	}
}

func TestVirtFlag(t *testing.T) {
	for text, want := range map[string]bool{
		"processor\t: 0\nflags\t\t: fpu vmx sse\nbugs\t: x\n": true,
		"flags\t\t: fpu svm\n":                                true,
		"flags\t\t: fpu svm_lock vmxoff\nvmx flags\t: vmx\n":  false,
		"": false,
	} {
		if got := virtFlag(text); got != want {
			t.Errorf("virtFlag(%q) = %v", text, got)
		}
	}
}
