package sim

import (
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// portMessage is br_ifinfo_notify: the port as an AF_BRIDGE link.
func (k *Kernel) portMessage(typ uint16, p *link) {
	if !k.queue.joined(unix.RTNLGRP_LINK) {
		return
	}
	i := k.portInfo(p)
	if typ == unix.RTM_DELLINK {
		i.Port, i.PortKind = rtnl.Port{}, ""
	}
	k.notifyLink(typ, i)
}

// portInfo is what br_fill_ifinfo shows of a link.
func (k *Kernel) portInfo(p *link) *rtnl.Link {
	full := k.info(p)
	return &rtnl.Link{
		Index: full.Index, Family: unix.AF_BRIDGE, Type: full.Type, Flags: full.Flags, Name: full.Name, MTU: full.MTU,
		Addr: full.Addr, Master: full.Master, Parent: full.Parent, ParentNSID: -1, OperState: full.OperState, PortKind: full.PortKind, Port: p.port.Port,
	}
}

// Costs of ports: what a speed of 10 Gb/s makes, which veths and taps claim
// and our hardware has, and what no known speed makes.
const (
	costFast    = 2
	costUnknown = 100
)

// portCost is what the ethtool speed of a link makes it cost.
func portCost(l *link) uint32 {
	for l.lower != nil {
		l = l.lower
	}
	if l.Kind != kindBridge {
		return costFast
	}
	for _, p := range l.ports { // a bridge is as fast as the fastest that runs
		if p.up() && p.operUp() && portCost(p) == costFast {
			return costFast
		}
	}
	return costUnknown
}

func hasUpper(l, other *link) bool {
	if l.master == other {
		return true
	}
	if l.master != nil && hasUpper(l.master, other) {
		return true
	}
	for _, u := range l.uppers {
		if u == other || hasUpper(u, other) {
			return true
		}
	}
	return false
}

// addPort is br_add_if.
func (k *Kernel) addPort(b, l *link) *rtnl.Error {
	switch {
	case l.isLoop() || !validEther(l.Addr):
		return fail(unix.EINVAL, "")
	case l.Kind == kindBridge:
		return fail(unix.ELOOP, "Can not enslave a bridge to a bridge")
	}
	no := freePort(b)
	if no == 0 {
		return fail(unix.EXFULL, "")
	}
	if len(l.macvlans()) > 0 || hasUpper(b, l) {
		return fail(unix.EBUSY, "")
	}
	k.addAllMulti(l, 1)
	l.port = port{Port: rtnl.Port{State: portDisabled, No: no, Priority: defaultPortPrio, Cost: portCost(l), Learning: true,
		UnicastFlood: true, McastFlood: true, BcastFlood: true, McastRouter: 1}}
	l.master = b
	k.event(evChangeUpper, l)
	b.ports = slices.Insert(b.ports, 0, l)
	k.addPromisc(l, 1, true)
	changed := k.recalculate(b)
	if l.up() && l.operUp() && b.up() {
		k.enablePort(b, l)
	}
	k.portMessage(unix.RTM_NEWLINK, l)
	if changed {
		k.event(evChangeAddr, b)
	}
	k.adjustMTU(b)
	return nil
}

func freePort(b *link) uint16 {
	var used [maxPorts]bool
	for _, p := range b.ports {
		used[p.port.No] = true
	}
	for i := 1; i < maxPorts; i++ {
		if !used[i] {
			return uint16(i)
		}
	}
	return 0
}

// delPort is br_del_if.
func (k *Kernel) delPort(l *link) {
	b := l.master
	k.dropPort(l)
	k.adjustMTU(b)
	if k.recalculate(b) {
		k.event(evChangeAddr, b)
	}
}

// dropPort is del_nbp.
func (k *Kernel) dropPort(l *link) {
	b := l.master
	k.addAllMulti(l, -1)
	k.addPromisc(l, -1, true)
	k.disablePort(b, l)
	k.portMessage(unix.RTM_DELLINK, l)
	b.ports = slices.DeleteFunc(b.ports, func(p *link) bool { return p == l })
	l.master = nil
	l.port = port{}
	k.event(evChangeUpper, l)
}

// setPort is br_setport, in its order.
func (k *Kernel) setPort(l *link, r *rtnl.LinkRequest) *rtnl.Error {
	p, v, has := &l.port, &r.Port, func(f rtnl.LinkField) bool { return r.Set&f != 0 }
	for _, f := range []struct {
		field rtnl.LinkField
		dst   *bool
		val   bool
	}{
		{rtnl.PortHairpin, &p.Hairpin, v.Hairpin}, {rtnl.PortGuard, &p.Guard, v.Guard},
		{rtnl.PortFastLeave, &p.FastLeave, v.FastLeave}, {rtnl.PortRootBlock, &p.RootBlock, v.RootBlock},
		{rtnl.PortLearning, &p.Learning, v.Learning}, {rtnl.PortUnicastFlood, &p.UnicastFlood, v.UnicastFlood},
		{rtnl.PortMcastFlood, &p.McastFlood, v.McastFlood}, {rtnl.PortMcastToUnicast, &p.McastToUnicast, v.McastToUnicast},
		{rtnl.PortBcastFlood, &p.BcastFlood, v.BcastFlood}, {rtnl.PortNeighSuppress, &p.NeighSuppress, v.NeighSuppress},
		{rtnl.PortIsolated, &p.Isolated, v.Isolated},
	} {
		if has(f.field) {
			*f.dst = f.val
		}
	}
	if has(rtnl.PortCost) {
		if v.Cost < 1 || v.Cost > maxPortCost {
			return fail(unix.ERANGE, "")
		}
		p.Cost, p.adminCost = v.Cost, true
		k.selectStates(l.master)
	}
	if has(rtnl.PortPriority) {
		if v.Priority > maxPortPriority {
			return fail(unix.ERANGE, "")
		}
		p.Priority = v.Priority
	}
	if has(rtnl.PortMcastRouter) {
		if v.McastRouter > 3 {
			return fail(unix.EINVAL, "")
		}
		p.McastRouter = v.McastRouter
	}
	return nil
}

// bridgeEvent is br_device_event for a port.
func (k *Kernel) bridgeEvent(ev event, l *link) {
	b := l.master
	if b == nil || b.Kind != kindBridge {
		return
	}
	told := false
	switch ev {
	case evChangeMTU:
		k.adjustMTU(b)
	case evChangeAddr:
		if k.recalculate(b) {
			k.event(evChangeAddr, b)
		}
	case evChange:
		told = k.checkPortCarrier(b, l)
	case evDown:
		if b.up() {
			k.disablePort(b, l)
			told = true
		}
	case evUp:
		if b.up() && l.operUp() {
			k.enablePort(b, l)
			told = true
		}
	case evUnregister:
		k.delPort(l)
		return
	}
	switch ev {
	case evChangeAddr, evUp, evDown, evChange:
		if !told {
			k.portMessage(unix.RTM_NEWLINK, l)
		}
	}
}

// checkPortCarrier is br_port_carrier_check.
func (k *Kernel) checkPortCarrier(b, l *link) (told bool) {
	running := l.up() && l.operUp()
	if !l.port.adminCost && running {
		l.port.Cost = portCost(l)
	}
	if !b.up() {
		return false
	}
	switch {
	case running && l.port.State == portDisabled:
		k.enablePort(b, l)
		return true
	case !running && l.port.State != portDisabled:
		k.disablePort(b, l)
		return true
	}
	return false
}
