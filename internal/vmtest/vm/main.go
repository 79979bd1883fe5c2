package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Exit codes of the runner itself; every other code is the program's.
const (
	exitUsage  = 2
	exitRunner = 125 // no exit status: kernel panic, hang, missing emulator, ...
)

// config is one call of the runner.
type config struct {
	args      []string // the program and its arguments
	env       []string // its environment
	dir       string   // its working directory
	collect   []string // files that come back
	cpus      int
	memoryMiB int
	timeout   time.Duration // for the program, 0 for no limit
	verbose   bool
	logFile   string
	qemuArgs  []string
	stderr    io.Writer
	signals   chan os.Signal
}

func (c *config) printf(format string, a ...any) {
	fmt.Fprintf(c.stderr, "vm: "+format+"\n", a...)
}

func (c *config) debugf(format string, a ...any) {
	if c.verbose {
		c.printf(format, a...)
	}
}

func main() {
	if inGuest() {
		guestMain()
	}
	os.Exit(hostMain(os.Args[1:]))
}

// stringList is a flag that may be given several times.
type stringList []string

// String implements flag.Value.
func (l *stringList) String() string { return strings.Join(*l, " ") }

// Set implements flag.Value.
func (l *stringList) Set(s string) error { *l = append(*l, s); return nil }

// hostMain is the runner; it gives the exit code.
func hostMain(args []string) int {
	c := &config{stderr: os.Stderr, signals: make(chan os.Signal, 4)}
	fs := flag.NewFlagSet("vm", flag.ContinueOnError)
	var names, files, qemu stringList
	doInstall := fs.Bool("install", false, "install what is missing, and the Debian packages given as arguments; run nothing")
	fs.IntVar(&c.cpus, "cpus", 2, "virtual processors")
	fs.IntVar(&c.memoryMiB, "memory", 1024, "memory in MiB")
	fs.DurationVar(&c.timeout, "timeout", 10*time.Minute,
		"time for the program, 0 for no limit; for a Go test binary 1m more than its own -test.timeout")
	fs.BoolVar(&c.verbose, "v", false, "show the kernel's messages and the QEMU command on standard error")
	fs.StringVar(&c.logFile, "log", "", "keep the kernel's messages in this file when the program fails (default a new temporary file)")
	fs.Var(&names, "env", "also pass this environment variable (repeatable)")
	fs.Var(&files, "out", "bring this file back from the guest afterwards (repeatable)")
	fs.Var(&qemu, "qemu", "add this argument to QEMU's command line (repeatable)")
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: vm [flags] -- program [arguments]\n       vm -install [package ...]\n")
		fs.PrintDefaults()
	}
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return exitUsage
	}
	if !*doInstall && fs.NArg() == 0 || c.cpus < 1 || c.memoryMiB < 256 || c.timeout < 0 {
		fs.Usage()
		return exitUsage
	}
	code, err := c.main(fs, *doInstall, names, files, qemu)
	if err == nil {
		return code
	}
	c.printf("%v", err)
	var sig interrupted
	if errors.As(err, &sig) {
		return 128 + int(sig.sig)
	}
	return exitRunner
}

// main installs what is missing, and runs the program unless only that was asked.
func (c *config) main(fs *flag.FlagSet, only bool, names, files, qemu []string) (int, error) {
	cache, err := cacheDir()
	if err != nil {
		return 0, err
	}
	if only {
		img, err := install(c, cache, fs.Args())
		if err == nil {
			c.printf("ready: %s, %s", img.qemu, img.kernel)
		}
		return 0, err
	}
	if err := c.fill(fs, names, files, qemu); err != nil {
		return 0, err
	}
	img, err := install(c, cache, nil)
	if err != nil {
		return 0, err
	}
	signal.Notify(c.signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(c.signals)
	code, err := run(c, img)
	for range bootsAgain {
		if !errors.Is(err, errSilent) {
			break
		}
		c.printf("%v; booting again", err)
		code, err = run(c, img)
	}
	return code, err
}

// bootsAgain is how often a machine is booted again that died before the
// program had said anything: an emulated kernel now and then dies booting.
const bootsAgain = 3

// fill sets what follows from the program, the flags and our own environment.
func (c *config) fill(fs *flag.FlagSet, names, files, qemu []string) error {
	var err error
	if c.dir, err = os.Getwd(); err != nil {
		return fmt.Errorf("find the working directory: %w", err)
	}
	c.args, c.qemuArgs = fs.Args(), qemu
	c.env = selectEnv(os.Environ(), names)
	collect, limit := testFlags(c.args, c.dir)
	c.collect = collect
	for _, f := range files {
		c.collect = append(c.collect, absolute(c.dir, f))
	}
	if len(c.collect) > 255 {
		return fmt.Errorf("%d files to bring back: at most 255", len(c.collect))
	}
	given := false
	fs.Visit(func(f *flag.Flag) { given = given || f.Name == "timeout" })
	if limit > 0 && !given {
		c.timeout = limit + time.Minute
	}
	return nil
}

// absolute is name as seen from dir.
func absolute(dir, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(dir, name)
}
