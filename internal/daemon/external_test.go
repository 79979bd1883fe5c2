package daemon

import (
	"testing"
	"time"

	"netbraid/internal/iface"
	"netbraid/internal/proto"
)

// dialled is a protocol whose program makes the layer 3 device and gives it its
// addresses, as pppd does.
type dialled struct{}

func (dialled) Handle(in proto.Input) []proto.Output {
	switch in.Kind {
	case proto.Setup:
		return []proto.Output{{Kind: proto.Offered, Offer: &proto.Offer{L3Device: "ppp0", AddressExternal: true}}}
	case proto.Teardown:
		return []proto.Output{{Kind: proto.Finished}}
	}
	return nil
}

// TestExternalLayer3Device: what a program has made and takes down is not taken
// up again by us.
func TestExternalLayer3Device(t *testing.T) {
	w := newWorld(t)
	w.protos["dialled"] = proto.Spec{Name: "dialled", Flags: proto.Flags{MovesL3: true}, New: func() proto.Handler { return dialled{} }}
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.Veth("ppp0", "peer1", nil)
	w.ns.IP("link set ppp0 up")
	w.config("config interface 'wan'\n\toption device 'eth0'\n\toption proto 'dialled'\n\toption force_link 1\n")
	w.start()
	w.waitState("wan", iface.Up)
	w.quiet()
	before := w.writes()
	w.ns.IP("link set ppp0 down")
	time.Sleep(300 * time.Millisecond) // a repair comes at once
	w.quiet()
	if n := w.writes() - before; n != 0 {
		t.Errorf("%d operations on a device that is its program's", n)
	}
}
