package core_test

import (
	"net/netip"
	"strings"
	"time"

	"netbraid/internal/api"
	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/ubus"
)

// ask makes a request that a caller of the API could make.
func (w *world) ask() {
	yes := w.rng.IntN(2) == 0
	dev := []string{"eth0", "eth1", "eth2"}[w.rng.IntN(3)]
	iface := []string{"lan", "wan", "alias", "two", "dyn"}[w.rng.IntN(5)]
	var r core.Request
	switch w.rng.IntN(8) {
	case 0:
		options := []config.Option{{Name: "proto", Values: []string{"static"}}, {Name: "device", Values: []string{[]string{"@lan", "@wan", "@up", "eth2.5"}[w.rng.IntN(4)]}},
			{Name: "ipaddr", Values: []string{"10.77.0.1/24"}}}
		one, problems := config.ParseInterface("dyn", options, w.core.Base("dyn"), "test", config.Options{})
		if config.HasErrors(problems) {
			return
		}
		r = &core.AddDynamic{Single: one}
	case 1:
		r = &core.SetData{Interface: iface, Data: map[string]any{"n": int32(w.rng.IntN(3))}}
	case 2:
		if dev == "eth2" {
			return // wan has an IPv6 address there, and a port has no IPv6
		}
		r = &core.AddPort{Interface: "lan", Device: dev, External: yes}
	case 3:
		r = &core.AddPort{Interface: "lan", Device: dev, Remove: true}
	case 4:
		r = &core.AddHostRoute{Target: netip.MustParseAddr("9.9.9.9")}
	case 5:
		r = &core.SetDeviceState{Device: dev, Defer: &yes}
	case 6:
		r = &core.SetAlias{Names: []string{"up"}, Device: map[bool]string{true: dev}[yes]}
	case 7:
		w.note("remove dyn")
		w.step(core.Command{ID: 1, Verb: core.VerbRemove, Interface: "dyn"})
		return
	}
	w.note("request %T %s %s %v", r, iface, dev, yes)
	w.step(core.Command{ID: 1, Do: r})
}

// checkShown holds that the version changes whenever what is shown does: an
// answer that was kept under the same version is not stale.
func (w *world) checkShown(ev core.Event) {
	if !w.look {
		return
	}
	var b strings.Builder
	for _, n := range w.core.Interfaces() {
		st := api.InterfaceStatus(w.core, w.core.Interface(n), time.Unix(2000, 0))
		b.Write(ubus.AppendJSON(nil, st, false))
		b.WriteByte('\n')
	}
	v := w.core.Version()
	if now := b.String(); w.shown != "" && now != w.shown && v == w.shownVersion {
		w.fail("after %T the version is still %d, and shown is\n%sbefore it was\n%s", ev, v, now, w.shown)
	}
	w.shown, w.shownVersion = b.String(), v
}
