package vmtest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
)

// bootArg is the kernel argument that the runner gives to its guest. Nothing
// else can set it, and it is visible in every network and mount namespace that
// has /proc.
const bootArg = "netbraid.vm=1"

// InVM reports whether this process runs under the test kernel that command vm
// boots.
var InVM = sync.OnceValue(func() bool {
	b, err := os.ReadFile("/proc/cmdline")
	return err == nil && hasBootArg(string(b))
})

func hasBootArg(cmdline string) bool {
	return slices.Contains(strings.Fields(cmdline), bootArg)
}

// Require skips the test unless it runs under the test kernel.
func Require(t testing.TB) {
	t.Helper()
	if !InVM() {
		t.Skip("needs the test kernel: run make vmtest")
	}
}

// Modprobe loads modules of the test kernel.
func Modprobe(t testing.TB, modules ...string) {
	t.Helper()
	for _, m := range modules {
		if out, err := exec.Command("modprobe", m).CombinedOutput(); err != nil {
			t.Fatalf("modprobe %s: %v: %s", m, err, out)
		}
	}
}
