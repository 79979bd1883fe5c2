package capture

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"netbraid/internal/nstest"
	"netbraid/ubus"
)

// netnsUpDown calls the method with a descriptor, as ujail does.
func (w *world) netnsUpDown(args string, fd *os.File) ubus.Status {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	id, err := w.client.LookupID(ctx, "network")
	if err != nil {
		w.t.Fatal(err)
	}
	_, _, err = w.client.Invoke(ctx, id, "netns_updown", fromJSON(w.t, []byte(args)).Encode(), fd)
	return ubus.StatusOf(err)
}

// dup opens the namespace again; Invoke takes what it is given over.
func dup(t *testing.T, ns *nstest.NS) *os.File {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", ns.FD()))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestJail(t *testing.T) {
	w := runtimeWorld(t, runtimeConfig+`
config interface 'box'
	option device 'eth4'
	option proto 'static'
	option ipaddr '10.12.0.1/24'
	option jail 'box'
	option jail_device 'host0'
	option host_device 'eth9'
config interface 'other'
	option device 'eth5'
	option proto 'none'
	option jail 'other'
`)
	jail := nstest.New(t)
	jail.IP("link add host1 type bridge")
	// Recorded: 0 with a namespace, 2 without.
	if st := w.netnsUpDown(`{"start":false}`, dup(t, jail)); st != ubus.StatusOK {
		t.Errorf("stop of nothing: %v", st)
	}
	if st := w.netnsUpDown(`{"start":false}`, nil); st != ubus.StatusInvalidArgument {
		t.Errorf("without a namespace: %v", st)
	}
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	if st := w.netnsUpDown(`{"jail":"box","start":true}`, null); st != ubus.StatusInvalidArgument {
		t.Errorf("with another descriptor: %v", st)
	}
	if st := w.netnsUpDown(`{"start":true}`, dup(t, jail)); st != ubus.StatusInvalidArgument {
		t.Errorf("start without a name: %v", st)
	}
	if w.up("box") {
		t.Error("an interface with a jail comes up by itself")
	}
	status := show(w.call(ubus.StatusOK, "network.interface.box", "status", nil))
	if want := `"autostart":false,"dynamic":false,"proto":"static","device":"eth4","jail":"box","jail_device":"host0","data":{}`; !strings.Contains(status, want) {
		t.Errorf("status %s lacks %s", status, want)
	}
	// Up by hand: it goes down when its device goes.
	w.call(ubus.StatusOK, "network.interface.box", "up", nil)
	w.until("box is not up", func() bool { return w.up("box") })
	if st := w.netnsUpDown(`{"jail":"box","start":true}`, dup(t, jail)); st != ubus.StatusOK {
		t.Errorf("start: %v", st)
	}
	if got := jail.IP("-o link show"); !strings.Contains(got, " host0@") {
		t.Errorf("host0 is not in the jail:\n%s", got)
	}
	if got := w.ns.IP("-o link show"); strings.Contains(got, " eth4@") || !strings.Contains(got, " eth5@") {
		t.Errorf("outside of the jail:\n%s", got)
	}
	w.until("box is still up", func() bool { return !w.up("box") })
	if st := w.netnsUpDown(`{"jail":"box","start":false}`, dup(t, jail)); st != ubus.StatusOK {
		t.Errorf("stop: %v", st)
	}
	if got := w.ns.IP("-o link show"); !strings.Contains(got, " eth9@") || strings.Contains(jail.IP("-o link show"), "host0") {
		t.Errorf("eth9 has not come back:\n%s", got)
	}
	// A name that is taken in the jail is an error, and the device stays.
	jail.IP("link add eth5 type bridge")
	if st := w.netnsUpDown(`{"jail":"other","start":true}`, dup(t, jail)); st != ubus.StatusUnknownError {
		t.Errorf("a name that is taken: %v", st)
	}
	if got := w.ns.IP("-o link show"); !strings.Contains(got, " eth5@") {
		t.Errorf("eth5 has gone:\n%s", got)
	}
}
