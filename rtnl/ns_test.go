package rtnl

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func threadInode(t *testing.T) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(threadNS, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func TestWithNS(t *testing.T) {
	w := newWorld(t)
	home := threadInode(t)
	there, err := w.ns.Inode()
	if err != nil || there == home {
		t.Fatalf("the new namespace is %d, the own one %d: %v", there, home, err)
	}
	failed := errors.New("failed")
	err = w.ns.Do(func() error {
		if got := threadInode(t); got != there {
			t.Errorf("inside it is %d, want %d", got, there)
		}
		// Inside, the namespace itself is no change, and the other is one.
		return w.ns.Do(func() error {
			if got := threadInode(t); got != there {
				t.Errorf("nested it is %d, want %d", got, there)
			}
			return failed
		})
	})
	if !errors.Is(err, failed) {
		t.Errorf("the function's error became %v", err)
	}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_ = w.ns.Do(func() error { return nil })
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if got := threadInode(t); got != home {
				t.Errorf("a goroutine runs in %d, want %d", got, home)
			}
		})
	}
	wg.Wait()
}

func TestWithNSPanic(t *testing.T) {
	w := newWorld(t)
	defer func() {
		if p := recover(); p != "oh" {
			t.Errorf("the panic became %v", p)
		}
	}()
	_ = w.ns.Do(func() error { panic("oh") })
	t.Error("the panic was lost")
}

func TestWithNSGoexit(t *testing.T) {
	w := newWorld(t)
	if err := w.ns.Do(func() error { runtime.Goexit(); return nil }); !errors.Is(err, errUnfinished) {
		t.Errorf("a function that ends its goroutine: %v", err)
	}
}

func TestWithNSWrongDescriptor(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := WithNS(int(f.Fd()), func() error { t.Error("it ran"); return nil }); err == nil {
		t.Error("/dev/null was entered")
	}
	if _, err := OpenNS("/nonexistent/ns"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
