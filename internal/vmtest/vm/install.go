package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// hostPrograms are the programs that a run or its tests need, with the Debian
// package that has each.
var hostPrograms = []struct{ program, pkg string }{
	{qemuProgram, "qemu-system-x86"},
	{"modprobe", "kmod"}, // the guest's kernel calls it; depmod is in the same package
	{"ip", "iproute2"},
	{"tc", "iproute2"},
}

const qemuProgram = "qemu-system-x86_64"

// kernelPackage matches the packages of the kernels that the tests are for.
var kernelPackage = regexp.MustCompile(`^linux-image-(6\.12\.(\d+)\+deb12-amd64)$`)

// image is an unpacked kernel, and the emulator.
type image struct {
	qemu    string
	kernel  string // path of vmlinuz
	modules string // directory with modules.dep
	release string // "6.12.117+deb12-amd64"
}

// bootModules gives the modules, relative to i.modules and in the order of
// loading, that the guest needs to reach the host's files.
func (i *image) bootModules() ([]string, error) {
	deps, err := os.ReadFile(filepath.Join(i.modules, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(i.modules, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	return bootModules(bytes.NewReader(deps), bytes.NewReader(builtin),
		"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay")
}

// cacheDir is where the kernel is unpacked.
func cacheDir() (string, error) {
	if d := os.Getenv("NETBRAID_VM_CACHE"); d != "" {
		return filepath.Abs(d)
	}
	d, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder (set NETBRAID_VM_CACHE): %w", err)
	}
	return filepath.Join(d, "netbraid", "vm"), nil
}

// findImage gives the newest kernel in the cache and the emulator; missing lists
// the Debian packages that must be installed or, for a kernel, fetched.
func findImage(cache string) (img *image, missing []string, err error) {
	for _, h := range hostPrograms {
		if _, err := findProgram(h.program); err != nil && !slices.Contains(missing, h.pkg) {
			missing = append(missing, h.pkg)
		}
	}
	dirs, err := filepath.Glob(filepath.Join(cache, "linux-image-*"))
	if err != nil {
		return nil, nil, err
	}
	for i, d := range dirs {
		dirs[i] = filepath.Base(d)
	}
	pkg := newestKernel(dirs)
	if pkg == "" {
		return nil, append(missing, "linux-image"), nil
	}
	if len(missing) > 0 {
		return nil, missing, nil
	}
	release := kernelPackage.FindStringSubmatch(pkg)[1]
	qemu, err := findProgram(qemuProgram)
	return &image{
		qemu:    qemu,
		kernel:  filepath.Join(cache, pkg, "boot", "vmlinuz-"+release),
		modules: filepath.Join(cache, pkg, "lib", "modules", release),
		release: release,
	}, nil, err
}

// findProgram looks in PATH and in the directories of system programs.
func findProgram(name string) (string, error) {
	p, err := exec.LookPath(name)
	if err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p, nil
		}
	}
	return "", err
}

// newestKernel gives the package name with the highest version, or "".
func newestKernel(names []string) string {
	best, at := -1, ""
	for _, n := range names {
		if m := kernelPackage.FindStringSubmatch(n); m != nil {
			if v, err := strconv.Atoi(m[2]); err == nil && v > best {
				best, at = v, n
			}
		}
	}
	return at
}

// install brings what is missing and gives the image. Several processes may do
// it at once: one works, the others wait for it. extra are Debian packages that
// the caller wants as well.
func install(c *config, cache string, extra []string) (*image, error) {
	img, missing, err := findImage(cache)
	if err != nil || len(missing) == 0 && len(extra) == 0 {
		return img, err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache folder: %w", err)
	}
	unlock, err := lock(c, filepath.Join(cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if _, missing, err = findImage(cache); err != nil {
		return nil, err
	}
	apt := &aptGet{out: c.stderr}
	needKernel := slices.Contains(missing, "linux-image")
	pkgs := slices.DeleteFunc(append(missing, extra...), func(p string) bool { return p == "linux-image" })
	if len(pkgs) > 0 {
		c.printf("installing %s", strings.Join(pkgs, " "))
		if err := apt.install(pkgs); err != nil {
			return nil, err
		}
	}
	if needKernel {
		if err := apt.kernel(c, cache); err != nil {
			return nil, err
		}
	}
	img, missing, err = findImage(cache)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("still missing after the installation: %s", strings.Join(missing, " "))
	}
	return img, err
}

// lock takes the file's lock; the kernel gives it back when the process ends.
func lock(c *config, name string) (unlock func(), err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == unix.EWOULDBLOCK {
		c.printf("another process is installing, waiting for it")
		for err = unix.EINTR; err == unix.EINTR; {
			err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() { f.Close() }, nil
}

// aptGet runs apt; the package lists are fetched once, when something fails
// without them.
type aptGet struct {
	out     io.Writer
	updated bool
}

// run runs a program of apt or dpkg with its output to a.out.
func (a *aptGet) run(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	var last bytes.Buffer
	cmd.Stdout = a.out
	cmd.Stderr = io.MultiWriter(a.out, &last)
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(last.String())
		return fmt.Errorf("%s: %w\n%s", strings.Join(args[:2], " "), err, text[max(0, len(text)-2000):])
	}
	return nil
}

// retry does op, and once more after fetching the package lists.
func (a *aptGet) retry(op func() error) error {
	first := op()
	if first == nil || a.updated {
		return first
	}
	if err := a.run("", "apt-get", "update", "-q"); err != nil {
		return errors.Join(first, err)
	}
	a.updated = true
	return op()
}

func (a *aptGet) install(pkgs []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing packages: %[1]s; run as root: apt-get install --no-install-recommends %[1]s",
			strings.Join(pkgs, " "))
	}
	err := a.retry(func() error {
		return a.run("", append([]string{"apt-get", "install", "-y", "-q", "--no-install-recommends",
			"-o", "DPkg::Lock::Timeout=300"}, pkgs...)...)
	})
	if err != nil {
		return fmt.Errorf("install the packages %s: %w", strings.Join(pkgs, " "), err)
	}
	return nil
}

// kernel fetches the newest kernel package and unpacks it into the cache. The
// directory appears under its name when it is complete.
func (a *aptGet) kernel(c *config, cache string) error {
	var pkg string
	err := a.retry(func() error {
		out, err := exec.Command("apt-cache", "pkgnames", "linux-image-6.12.").Output()
		if err != nil {
			return fmt.Errorf("apt-cache pkgnames: %w", err)
		}
		if pkg = newestKernel(strings.Fields(string(out))); pkg == "" {
			return errors.New("no package linux-image-6.12.*+deb12-amd64 in the package lists " +
				"(it is in Debian 12's security and backports archives)")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := removeStale(cache); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	c.printf("fetching %s (about 110 MB)", pkg)
	if err := a.retry(func() error {
		return a.run(tmp, "apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", pkg)
	}); err != nil {
		return fmt.Errorf("fetch the package %s: %w", pkg, err)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return fmt.Errorf("fetch the package %s: apt-get left %d files (%w)", pkg, len(debs), err)
	}
	return a.unpack(debs[0], filepath.Join(tmp, "files"), filepath.Join(cache, pkg))
}

// removeStale removes what an interrupted installation left; the caller holds
// the lock.
func removeStale(cache string) error {
	old, err := filepath.Glob(filepath.Join(cache, "unpack-*"))
	for _, d := range old {
		err = errors.Join(err, os.RemoveAll(d))
	}
	return err
}

// unpack unpacks a kernel package into tmp, makes the list of its modules, and
// moves it to dir.
func (a *aptGet) unpack(deb, tmp, dir string) error {
	release := kernelPackage.FindStringSubmatch(filepath.Base(dir))[1]
	if err := a.run("", "dpkg-deb", "-x", deb, tmp); err != nil {
		return err
	}
	depmod, err := findProgram("depmod")
	if err != nil {
		return fmt.Errorf("find depmod (package kmod): %w", err)
	}
	if err := a.run("", depmod, "-b", tmp, release); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("put the kernel in its place: %w", err)
	}
	return nil
}

// checkStatic tells apart a program that can be init in an empty file system
// from one that needs a dynamic loader.
func checkStatic(exe []byte) error {
	f, err := elf.NewFile(bytes.NewReader(exe))
	if err != nil {
		return fmt.Errorf("read this program: %w", err)
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("the test kernel is for x86-64, this program for %v", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("this program is linked dynamically and cannot be the guest's init: build it with CGO_ENABLED=0")
		}
	}
	return nil
}
