package daemon

import (
	"netbraid/internal/core"
	"netbraid/internal/hotplug"
	"netbraid/internal/iface"
)

// startHotplug starts the runner of scripts, if there is to be one, and
// returns what ends it together with the script that it runs.
func (d *Daemon) startHotplug() (stop func()) {
	if d.o.Hotplug == nil {
		return func() {}
	}
	o := *d.o.Hotplug
	if o.Log == nil {
		o.Log = d.log
	}
	d.hot = hotplug.New(o)
	return d.hot.Close
}

var hotplugActions = map[iface.Notice]string{iface.IfUp: hotplug.IfUp, iface.IfDown: hotplug.IfDown,
	iface.IfUpdate: hotplug.IfUpdate, iface.IfUpFailed: hotplug.IfUpFailed}

// tellScripts queues a notice for the scripts.
func (d *Daemon) tellScripts(p core.Publish) {
	if d.hot == nil {
		return
	}
	u := p.Updated
	d.hot.Post(hotplug.Event{Action: hotplugActions[p.Notice], Interface: p.Interface, Device: p.Device,
		Addresses: u.Addresses, Routes: u.Routes, Prefixes: u.Prefixes, Data: u.Data})
}
