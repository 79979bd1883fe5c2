package vpp_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/vpptest"
	"netbraid/internal/nstest"
)

// TestCompanion: companions that the test server makes behave as those of
// linux-cp: they show the link of their phy, and go with VPP.
func TestCompanion(t *testing.T) {
	ns := nstest.New(t)
	file := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.FD())
	s, u, phy, _ := start(t, vpptest.Options{Companions: true, NetNS: file})
	tun := s.AddLayer3("ipip0", 1480)
	made := u.must(
		dataplane.Op{Kind: dataplane.SetUp, Index: phy, On: true},
		dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: phy, HostName: "e0", NetNS: file, HostPort: dataplane.NoIndex}},
		dataplane.Op{Kind: dataplane.PairAdd, Pair: &dataplane.Pair{Phy: tun, HostName: "t0", NetNS: file, TUN: true, HostPort: dataplane.NoIndex}},
	).Made
	h, there := host(t, ns, "e0")
	if !there || h.Index != made[0].Pair.HostIndex || h.MTU != 1500 || h.MAC.B[5] != 1 || !h.Up {
		t.Errorf("companion %+v, %v", h, there)
	}
	if h, there := host(t, ns, "t0"); !there || h.MAC.Len != 0 || h.MTU != 1480 || !made[1].Pair.TUN {
		t.Errorf("companion without a header %+v, %v", h, there)
	}
	for _, on := range []bool{true, false, true} {
		s.SetLink(phy, on)
		nstest.Eventually(t, 10*time.Second, func() string {
			if h, _ := host(t, ns, "e0"); h.Carrier != on {
				return fmt.Sprintf("the link is %v, the companion %+v", on, h)
			}
			return ""
		})
	}
	s.Restart(false)
	u.down()
	nstest.Eventually(t, 10*time.Second, func() string {
		if h, there := host(t, ns, "e0"); there {
			return fmt.Sprintf("VPP is new, its companion still there: %+v", h)
		}
		return ""
	})
}
