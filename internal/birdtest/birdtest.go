package birdtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// Bird is a BIRD in a namespace, which may be killed and started again.
type Bird struct {
	Dir string // its own; files that its configuration names may be here

	t       testing.TB
	ns      *nstest.NS
	program *nstest.Program
}

// New makes the folder of a BIRD, which is not started yet. Without BIRD the
// test is skipped, with the reason.
func New(t testing.TB, ns *nstest.NS) *Bird {
	t.Helper()
	nstest.Need(t, "bird", "birdc")
	return &Bird{Dir: t.TempDir(), t: t, ns: ns}
}

func (b *Bird) file() string   { return filepath.Join(b.Dir, "bird.conf") }
func (b *Bird) socket() string { return filepath.Join(b.Dir, "ctl") }

// Config writes the configuration; one that runs reads it when Try tells it to
// configure.
func (b *Bird) Config(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.file(), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// Start starts BIRD and waits until its control socket answers.
func (b *Bird) Start() {
	b.t.Helper()
	b.program = b.ns.Start(nil, "bird", "-f", "-c", b.file(), "-s", b.socket())
	nstest.Eventually(b.t, 10*time.Second, func() string {
		if out, err := b.Try("show status"); err != nil {
			return out + err.Error() + " " + b.program.Output()
		}
		return ""
	})
}

// Kill ends BIRD as a crash would: its routes stay in the kernel.
func (b *Bird) Kill() {
	if b.program != nil {
		b.program.Kill()
	}
}

// Try runs birdc with a line of words.
func (b *Bird) Try(line string) (string, error) {
	return b.ns.Try("birdc", append([]string{"-s", b.socket()}, strings.Fields(line)...)...)
}
