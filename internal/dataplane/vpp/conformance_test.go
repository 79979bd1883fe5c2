package vpp_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"testing"

	"go.uber.org/goleak"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/conformance"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dataplane/vpptest"
	"netbraid/internal/nstest"
	"netbraid/internal/vmtest"
	"netbraid/rtnl"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// silent are changes that VPP tells nobody of.
var silent = map[dataplane.OpKind]string{
	dataplane.SetMTU:   "VPP has no event for the MTU",
	dataplane.SetMAC:   "VPP has no event for the address of an interface",
	dataplane.AddrAdd:  "VPP has no event for addresses",
	dataplane.AddrDel:  "VPP has no event for addresses",
	dataplane.RouteSet: "VPP has no event for routes",
	dataplane.RouteDel: "VPP has no event for routes",
}

// world is a VPP for one case.
func world(t *testing.T, o vpptest.Options) (*conformance.World, *vpptest.Server) {
	s := vpptest.Start(t, o)
	phys := map[string]uint32{}
	macs := byte(0)
	add := func(name string) {
		macs++
		phys[name] = s.AddPhy(name, [6]byte{2, 0xfe, 0, 0, 1, macs}, 1500)
	}
	w := &conformance.World{
		New: func(deliver func(dataplane.Event)) dataplane.Dataplane {
			return vpp.New(vpp.Options{Socket: s.Socket(), Deliver: deliver, Log: slog.New(slog.DiscardHandler)})
		},
		AddPhy:     add,
		DelPhy:     func(name string) { s.DelInterface(phys[name]); delete(phys, name) },
		SetCarrier: func(name string, on bool) { s.SetLink(phys[name], on) },
		Outside:    s.Outside,
		Silent:     silent,
		Restart: func(keep bool) {
			s.Restart(keep)
			if keep {
				return
			}
			for _, name := range []string{"phy0", "phy1"} {
				if _, was := phys[name]; was {
					add(name)
				}
			}
		},
	}
	return w, s
}

func TestConformance(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World {
		w, _ := world(t, vpptest.Options{})
		return w
	})
}

// TestConformanceOldPairs is the same with a VPP that has only the first
// version of pairs, shown one at a time, and tables without a choice.
func TestConformanceOldPairs(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World {
		w, _ := world(t, vpptest.Options{Page: 1, Without: []string{"lcp_itf_pair_add_del_v", "lcp_itf_pair_get_v2", "ip_table_add_del_v2"}})
		return w
	})
}

// TestConformanceSmallWindow is the same with hardly any request unanswered.
func TestConformanceSmallWindow(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World {
		w, s := world(t, vpptest.Options{})
		w.New = func(deliver func(dataplane.Event)) dataplane.Dataplane {
			return vpp.New(vpp.Options{Socket: s.Socket(), Deliver: deliver, Log: slog.New(slog.DiscardHandler), Window: 1})
		}
		return w
	})
}

// TestConformancePieces is the same with answers that come in pieces.
func TestConformancePieces(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World {
		w, s := world(t, vpptest.Options{})
		s.Piece(97)
		return w
	})
}

// TestConformanceCompanions is the same with companions on the real kernel.
func TestConformanceCompanions(t *testing.T) {
	conformance.Run(t, func(t *testing.T) *conformance.World {
		w := companions(t)
		if !vmtest.InVM() {
			w.Skip = map[string]string{"SubInterfacePair": "a companion of a sub-interface needs VLANs: TestConformanceVLAN runs it on the test kernel"}
		}
		return w
	})
}

// TestConformanceVLAN is that on the test kernel, which has VLANs.
func TestConformanceVLAN(t *testing.T) {
	vmtest.Require(t)
	conformance.Run(t, companions)
}

// companions is a world whose pairs make taps in a namespace.
func companions(t *testing.T) *conformance.World {
	ns := nstest.New(t)
	w, _ := world(t, vpptest.Options{Companions: true})
	w.NetNS = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), ns.FD())
	w.Host = func(name string) (conformance.Host, bool) { return host(t, ns, name) }
	w.TakeName = func(name string) { ns.Veth(name, name+"-far", nil) }
	return w
}

// host looks at a link of a namespace.
func host(t *testing.T, ns *nstest.NS, name string) (h conformance.Host, there bool) {
	out, err := ns.Try("ip", "-d", "-j", "link", "show", "dev", name)
	if err != nil {
		return h, false
	}
	var list []struct {
		Ifindex  uint32
		MTU      uint32
		Address  string
		Flags    []string
		LinkInfo struct {
			Data struct {
				ID uint16
			} `json:"info_data"`
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("ip link show %s: %v: %s", name, err, out)
	}
	l := list[0]
	h = conformance.Host{Index: l.Ifindex, MTU: l.MTU, VLAN: l.LinkInfo.Data.ID}
	if mac, err := net.ParseMAC(l.Address); err == nil && len(mac) == 6 {
		h.MAC = rtnl.MAC([6]byte(mac))
	}
	for _, f := range l.Flags {
		h.Up = h.Up || f == "UP"
		h.Carrier = h.Carrier || f == "LOWER_UP"
	}
	return h, true
}
