package vmtest

import (
	"os"
	"testing"
)

func TestHasBootArg(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"":                                  false,
		"console=ttyS0 netbraid.vm=1\n":     true,
		"netbraid.vm=1 quiet":               true,
		"netbraid.vm=0":                     false,
		"netbraid.vm=10 x.netbraid.vm=1 ro": false,
	} {
		if got := hasBootArg(cmdline); got != want {
			t.Errorf("hasBootArg(%q) = %v, want %v", cmdline, got, want)
		}
	}
}

// TestRequire holds that Require skips outside the test kernel and only there.
func TestRequire(t *testing.T) {
	var inner *testing.T
	passed := false
	t.Run("inner", func(t *testing.T) {
		inner = t
		Require(t)
		passed = true
	})
	// The guest's host name is a second witness of where we are.
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if want := name == "netbraid-vm"; passed != want || inner.Skipped() == want {
		t.Errorf("on host %q: test went on %v, skipped %v", name, passed, inner.Skipped())
	}
}
