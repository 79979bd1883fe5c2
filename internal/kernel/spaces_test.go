package kernel

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"netbraid/internal/core"
	"netbraid/internal/mirror"
	"netbraid/internal/nstest"
)

// TestReleaseOfWhatWasReplaced: the watch decides to give a namespace up, and
// before it does, a Subscribe opens the one that its file stands for now. That
// must stay: nothing would subscribe to it again.
func TestReleaseOfWhatWasReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ns")
	point := func(ns *nstest.NS) {
		os.Remove(path)
		if err := os.Symlink(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.FD()), path); err != nil {
			t.Fatal(err)
		}
	}
	s := NewSpaces(Options{Log: slog.New(slog.DiscardHandler), Deliver: func(core.Event) {}})
	t.Cleanup(s.CloseAll)
	point(nstest.New(t))
	s.Open(1, path, mirror.Params{RxBufferSize: 1 << 20})
	sp := s.all[1]
	before, err := s.open(1, sp, 1)
	if err != nil {
		t.Fatal(err)
	}
	point(nstest.New(t))
	after, err := s.open(1, sp, 2)
	if err != nil || after == before {
		t.Fatal("the new namespace is not opened", err)
	}
	s.release(sp, before)
	if s.kernel(1) != after || after.ctx.Err() != nil {
		t.Error("the new namespace is closed in place of the old one")
	}
}
