package daemon

import (
	"testing"
	"time"
)

func lanGlobal(extra string) string {
	return "config interface 'lan'\n\toption device 'eth0'\n\toption proto 'static'\n" + extra
}

// TestGlobalTakeoverByReload: the option that KEY_TAKEN names works by a reload.
func TestGlobalTakeoverByReload(t *testing.T) {
	w := newWorld(t)
	w.ns.Veth("eth0", "peer0", nil)
	w.ns.IP("link set eth0 up")
	w.ns.IP("addr add 192.168.1.1/24 broadcast 192.168.1.7 dev eth0")
	w.config(lanGlobal("\toption ipaddr '192.168.1.1/24'\n"))
	w.start()
	time.Sleep(200 * time.Millisecond)
	t.Log(w.describe())
	w.config("config globals 'globals'\n\toption takeover '1'\n" + lanGlobal("\toption ipaddr '192.168.1.1/24'\n"))
	if err := w.reload(); err != nil {
		t.Fatal(err)
	}
	w.soon(w.has("addr show dev eth0", "brd 192.168.1.255"))
}
