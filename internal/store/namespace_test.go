package store

import (
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// TestAnotherNamespaceIsAnother: the inode number of a namespace is used again
// soon after that is gone; the state of the one is not that of the other.
func TestAnotherNamespaceIsAnother(t *testing.T) {
	seen := map[header]bool{}
	for range 40 {
		ns := nstest.New(t)
		var h header
		if err := ns.Do(func() error { h = currentHeader(); return nil }); err != nil {
			t.Fatal(err)
		}
		if seen[h] {
			t.Fatalf("two namespaces have one header: %+v", h)
		}
		seen[h] = true
		ns.Close()
		time.Sleep(50 * time.Millisecond) // the kernel gives the number back later
	}
}
