package router

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestVirtualAddress: a single address within the subnet of its link is VPP's own
// all the time, also while netbraid starts again, and when it does not know that
// the pair is its own; Linux gets no second one.
func TestVirtualAddress(t *testing.T) {
	w, s := newVPPWorld(t)
	w.start()
	w.paired()
	const vip = "10.0.0.200"
	w.control.IP("addr add " + vip + "/32 dev e0")
	has := func() bool { return slices.Contains(s.Addresses(1), vip+"/24") }
	w.eventually(10*time.Second, func() string {
		if !has() {
			return strings.Join(s.Addresses(1), " ")
		}
		return ""
	})
	for _, forget := range []bool{false, true} {
		w.kill()
		if forget {
			if err := os.Remove(filepath.Join(w.dir, "run", "made")); err != nil {
				t.Fatal(err)
			}
		}
		end, gone := make(chan struct{}), make(chan int)
		go func() {
			n := 0
			for {
				select {
				case <-end:
					gone <- n
					return
				default:
				}
				if !has() {
					n++
				}
				time.Sleep(50 * time.Microsecond)
			}
		}()
		w.start()
		w.paired()
		time.Sleep(time.Second)
		w.paired()
		close(end)
		if n := <-gone; n > 0 {
			t.Errorf("made forgotten %v: VPP was seen without it %d times", forget, n)
		}
		if out := w.control.IP("-4 -o addr show dev e0"); strings.Count(out, vip) != 1 || !strings.Contains(out, vip+"/32") {
			t.Errorf("made forgotten %v: Linux has\n%s", forget, out)
		}
	}
}
