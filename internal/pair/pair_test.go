package pair_test

import (
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
)

func TestPairComesUp(t *testing.T) {
	w := newWorld(1, memory.Options{Caps: vppCaps}, func(s string) { t.Log(s) })
	w.dp.AddPhy("phy0", dataplane.Ethernet)
	w.configure(spec(0, 0))
	w.rest()
	if w.err != nil {
		t.Fatal(w.err)
	}
	t.Logf("%+v", w.e.Status(w.now))
	t.Log(w.spaces[0].kern)
}
