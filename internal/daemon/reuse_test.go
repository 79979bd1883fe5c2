package daemon

import (
	"testing"
	"time"
)

func lanOnEth0(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestIndexReusedWhileDown: a bridge of ours is deleted while no daemon runs, and
// the next link of others gets its ifindex: it must not be renamed.
func TestIndexReusedWhileDown(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config("config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\toption bridge_empty 1\nconfig interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n\toption ipaddr '192.168.1.1/24'\n")
	w.start()
	w.waitAddrs("br-lan", "192.168.1.1/24")
	before := w.link("br-lan", "ifindex")
	w.stop()
	w.ns.IP("link del br-lan")
	w.ns.IP("link add docker0 type bridge")
	t.Log("br-lan was", before, "docker0 is", w.link("docker0", "ifindex"))
	w.start()
	time.Sleep(300 * time.Millisecond)
	if w.link("docker0", "ifindex") == nil {
		t.Fatalf("docker0, which is not ours, is gone:\n%s", w.ns.IP("link"))
	}
}

// TestIndexReusedWhileDownIsNotDeleted: nor deleted, when ours is not wanted any more.
func TestIndexReusedWhileDownIsNotDeleted(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.config("config device\n\toption name 'br-lan'\n\toption type 'bridge'\n\toption bridge_empty 1\nconfig interface 'lan'\n\toption device 'br-lan'\n\toption proto 'static'\n\toption ipaddr '192.168.1.1/24'\n")
	w.start()
	w.waitAddrs("br-lan", "192.168.1.1/24")
	w.stop()
	w.ns.IP("link del br-lan")
	w.ns.IP("link add docker0 type bridge")
	w.config(lanOnEth0("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	time.Sleep(300 * time.Millisecond)
	if w.link("docker0", "ifindex") == nil {
		t.Fatalf("docker0, which is not ours, is gone:\n%s", w.ns.IP("link"))
	}
}
