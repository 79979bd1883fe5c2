package sim

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Operational states (RFC 2863, linux/if.h).
const (
	operUnknown        = 0
	operDown           = 2
	operLowerLayerDown = 3
	operUp             = 6
)

// Flags that a request may set, and those that only the kernel does.
const (
	settableFlags = unix.IFF_DEBUG | unix.IFF_NOTRAILERS | unix.IFF_NOARP | unix.IFF_DYNAMIC |
		unix.IFF_MULTICAST | unix.IFF_PORTSEL | unix.IFF_AUTOMEDIA
	volatileFlags = unix.IFF_LOOPBACK | unix.IFF_POINTOPOINT | unix.IFF_BROADCAST | unix.IFF_ECHO |
		unix.IFF_MASTER | unix.IFF_SLAVE | unix.IFF_RUNNING | unix.IFF_LOWER_UP | unix.IFF_DORMANT
)

// Limits of the MTU (linux/if_ether.h, linux/ipv6.h, linux/ip.h).
const (
	etherMTU    = 1500
	minMTU      = 68
	minMTU6     = 1280
	maxMTU      = 65535
	maxMTUHW    = 65521
	loopbackMTU = 65536
	queueLen    = 1000
)

// Kinds of links.
const (
	kindVeth    = "veth"
	kindBridge  = "bridge"
	kindVLAN    = "vlan"
	kindMACVLAN = "macvlan"
)

// link is a network device: what rtnl.Link shows of it, and what it hides.
// Fields of the embedded rtnl.Link that info derives (flags, operational
// state, carrier, master, counts) are not used.
type link struct {
	rtnl.Link
	flags, gflags     uint32 // dev->flags, dev->gflags
	carrier           bool
	oper              uint8
	active            bool // a queueing discipline is attached
	fired             bool // a link-watch event is queued
	registered        bool
	announced         bool // rtnl_link_state == RTNL_LINK_INITIALIZED
	opening           bool // in ndo_open
	addrSet           bool // NET_ADDR_SET
	addrStolen        bool
	mtuByUser         bool
	promisc, allmulti int
	ucPromisc         bool
	minMTU, maxMTU    uint32

	peer     *link   // veth
	peerGone bool    // the peer lives in a namespace that is not simulated
	lower    *link   // macvlan, vlan
	unicast  []*link // whose addresses are in the unicast filter
	uppers   []*link // macvlans and vlans on this link, in order of creation
	master   *link
	ports    []*link // of a bridge, newest first
	port     port
	vlan     vlan
	synced   []*link // macvlans and vlans on this link that hand down unicast addresses
	br       bridge
	in4      *inet4
	in6      *inet6
}

func (l *link) up() bool      { return l.flags&unix.IFF_UP != 0 }
func (l *link) running() bool { return l.up() || l.opening } // __LINK_STATE_START
func (l *link) operUp() bool  { return l.oper == operUp || l.oper == operUnknown }
func (l *link) isLoop() bool  { return l.flags&unix.IFF_LOOPBACK != 0 }

// userFlags is dev_get_flags.
func (l *link) userFlags() uint32 {
	f := l.flags&^(unix.IFF_PROMISC|unix.IFF_ALLMULTI|unix.IFF_RUNNING|unix.IFF_LOWER_UP|unix.IFF_DORMANT) |
		l.gflags&(unix.IFF_PROMISC|unix.IFF_ALLMULTI)
	if l.running() {
		if l.operUp() {
			f |= unix.IFF_RUNNING
		}
		if l.carrier {
			f |= unix.IFF_LOWER_UP
		}
	}
	return f
}

// info is the link as a dump shows it.
func (k *Kernel) info(l *link) *rtnl.Link {
	i := l.Link
	i.Flags = l.userFlags()
	i.OperState = operDown
	if l.running() {
		i.OperState = l.oper
	}
	i.Carrier = l.carrier
	i.Promiscuity, i.AllMulti = uint32(l.promisc), uint32(l.allmulti)
	i.ParentNSID = -1
	i.Parent = l.iflink()
	if l.master != nil {
		i.Master = l.master.Index
		i.PortKind = l.master.Kind
		i.Port = l.port.Port
	}
	if l.Kind == kindBridge {
		i.Bridge = k.bridgeInfo(l)
	}
	if l.in6 != nil {
		i.AddrGenMode = l.in6.genMode()
	}
	return &i
}

func (l *link) iflink() uint32 {
	switch {
	case l.lower != nil:
		return l.lower.Index
	case l.peer != nil:
		return l.peer.Index
	}
	return 0
}

func (k *Kernel) linkMessage(l *link) {
	if l.registered && k.queue.joined(unix.RTNLGRP_LINK) {
		k.notifyLink(unix.RTM_NEWLINK, k.info(l))
	}
}

// register makes the link a part of the namespace. Index 0 chooses one.
func (k *Kernel) register(l *link) *rtnl.Error {
	if _, taken := k.byName[l.Name]; taken {
		return fail(unix.EEXIST, "")
	}
	if l.Index != 0 {
		if _, taken := k.links[l.Index]; taken {
			return fail(unix.EBUSY, "")
		}
	} else {
		l.Index = k.freeIndex()
	}
	k.links[l.Index] = l
	k.byName[l.Name] = l
	at, _ := slices.BinarySearchFunc(k.order, l.Index, func(o *link, i uint32) int { return cmp.Compare(o.Index, i) })
	k.order = slices.Insert(k.order, at, l)
	l.registered = true
	k.attachAll()
	if !l.carrier {
		k.policy(l)
	}
	l.in4 = k.newInet4(l)
	k.addConf(v4, l.Name)
	k.addIdev(l)
	k.addMPLS(l)
	return nil
}

func (k *Kernel) freeIndex() uint32 {
	for {
		k.lastIdx++
		if k.lastIdx > 1<<31-1 {
			k.lastIdx = lowestIfindex
		}
		if _, taken := k.links[k.lastIdx]; !taken {
			return k.lastIdx
		}
	}
}

func (k *Kernel) newLoopback() *link {
	l := &link{
		Link: rtnl.Link{Name: "lo", MTU: loopbackMTU, TxQLen: queueLen, Type: unix.ARPHRD_LOOPBACK,
			Addr: rtnl.MAC([6]byte{}), Broadcast: rtnl.MAC([6]byte{})},
		flags: unix.IFF_LOOPBACK, gflags: unix.IFF_LOOPBACK, carrier: true, announced: true,
		maxMTU: 0, minMTU: 0,
	}
	k.lo = l
	if e := k.register(l); e != nil {
		panic("sim: no loopback: " + e.Error()) // of an empty namespace
	}
	return l
}

// newEther is a link with the defaults of ether_setup.
func (k *Kernel) newEther(name string) *link {
	return &link{
		Link: rtnl.Link{Name: name, MTU: etherMTU, TxQLen: queueLen, Type: unix.ARPHRD_ETHER,
			Addr: rtnl.HWAddr{}, Broadcast: rtnl.MAC([6]byte{255, 255, 255, 255, 255, 255})},
		flags: unix.IFF_BROADCAST | unix.IFF_MULTICAST, carrier: true, minMTU: minMTU, maxMTU: maxMTU,
	}
}

// event is a netdevice notification (NETDEV_*).
type event uint8

const (
	evUp event = iota
	evDown
	evChange
	evChangeMTU
	evChangeAddr
	evChangeName
	evChangeUpper
	evChangeTxQLen
	evUnregister
)

// event tells the parts of the kernel about a change, in the order in which
// they registered for it.
func (k *Kernel) event(ev event, l *link) {
	switch ev {
	case evChangeMTU, evChangeAddr, evChangeName, evChangeUpper, evChangeTxQLen:
		k.linkMessage(l)
	}
	k.inetEvent(ev, l)
	k.fibEvent(ev, l)
	k.neighEvent(ev, l)
	k.addrconfEvent(ev, l)
	k.bridgeEvent(ev, l)
	k.stackedEvent(ev, l)
}

// changeFlags is dev_change_flags with what it announces.
func (k *Kernel) changeFlags(l *link, flags uint32) *rtnl.Error {
	old, oldG := l.flags, l.gflags
	if e := k.applyFlags(l, flags); e != nil {
		return e
	}
	k.announceFlags(l, old, (old^l.flags)|(oldG^l.gflags) != 0)
	return nil
}

// applyFlags is __dev_change_flags.
func (k *Kernel) applyFlags(l *link, flags uint32) *rtnl.Error {
	old := l.flags
	l.flags = flags&settableFlags | l.flags&(unix.IFF_UP|volatileFlags|unix.IFF_PROMISC|unix.IFF_ALLMULTI)
	if (old^flags)&unix.IFF_UP != 0 {
		if old&unix.IFF_UP != 0 {
			k.close(l)
		} else if e := k.open(l); e != nil {
			return e
		}
	}
	if (flags^l.gflags)&unix.IFF_PROMISC != 0 {
		l.gflags ^= unix.IFF_PROMISC
		k.addPromisc(l, sign(flags&unix.IFF_PROMISC != 0), false)
	}
	if (flags^l.gflags)&unix.IFF_ALLMULTI != 0 {
		l.gflags ^= unix.IFF_ALLMULTI
		k.addAllMulti(l, sign(flags&unix.IFF_ALLMULTI != 0))
	}
	return nil
}

func sign(add bool) int {
	if add {
		return 1
	}
	return -1
}

// announceFlags is __dev_notify_flags.
func (k *Kernel) announceFlags(l *link, old uint32, message bool) {
	changed := old ^ l.flags
	if message {
		k.linkMessage(l)
	}
	if changed&unix.IFF_UP != 0 {
		if l.up() {
			k.event(evUp, l)
		} else {
			k.event(evDown, l)
		}
	}
	if l.up() && changed&^(unix.IFF_UP|unix.IFF_PROMISC|unix.IFF_ALLMULTI|volatileFlags) != 0 {
		k.event(evChange, l)
		if changed&unix.IFF_NOARP != 0 && l.linkReady() && l.in6 != nil && l.in6.ready {
			k.dadRun(l, true)
		}
	}
}

func (k *Kernel) addPromisc(l *link, n int, announce bool) {
	old := l.flags
	l.promisc += n
	l.flags &^= unix.IFF_PROMISC
	if l.promisc > 0 {
		l.flags |= unix.IFF_PROMISC
	}
	if old != l.flags {
		k.rxFlagsChanged(l, unix.IFF_PROMISC)
	}
	if announce {
		k.announceFlags(l, old, true)
	}
}

func (k *Kernel) addAllMulti(l *link, n int) {
	old := l.flags
	l.allmulti += n
	l.flags &^= unix.IFF_ALLMULTI
	if l.allmulti > 0 {
		l.flags |= unix.IFF_ALLMULTI
	}
	if old != l.flags {
		k.rxFlagsChanged(l, unix.IFF_ALLMULTI)
	}
}

// rxFlagsChanged is ndo_change_rx_flags.
func (k *Kernel) rxFlagsChanged(l *link, change uint32) {
	on := l.flags&change != 0
	switch l.Kind {
	case kindMACVLAN, kindVLAN:
		// a VLAN hands them down even while it is down
		if !l.up() && l.Kind != kindVLAN || l.lower == nil {
			return
		}
		if change == unix.IFF_ALLMULTI {
			k.addAllMulti(l.lower, sign(on))
		} else if l.MACVLAN.Mode != macvlanPassthru {
			k.addPromisc(l.lower, sign(on), true)
		}
	}
}

// open is __dev_open, close __dev_close.
func (k *Kernel) open(l *link) *rtnl.Error {
	l.opening = true
	e := k.openKind(l)
	l.opening = false
	if e != nil {
		return e
	}
	l.flags |= unix.IFF_UP
	k.syncUnicast(l)
	if l.carrier {
		l.active = true
	}
	return nil
}

func (k *Kernel) close(l *link) {
	l.active = false
	k.closeKind(l)
	l.flags &^= unix.IFF_UP
}

// closeMany is dev_close_many: all are closed before one is announced.
func (k *Kernel) closeMany(ls []*link) {
	var closed []*link
	for _, l := range ls {
		if l.up() {
			k.close(l)
			closed = append(closed, l)
		}
	}
	for _, l := range closed {
		k.linkMessage(l)
		k.event(evDown, l)
	}
}

// setMTU is dev_set_mtu.
func (k *Kernel) setMTU(l *link, mtu uint32) *rtnl.Error {
	if mtu == l.MTU {
		return nil
	}
	if mtu < l.minMTU {
		return fail(unix.EINVAL, "mtu less than device minimum")
	}
	if l.maxMTU > 0 && mtu > l.maxMTU {
		return fail(unix.EINVAL, "mtu greater than device maximum")
	}
	switch l.Kind {
	case kindMACVLAN:
		if l.lower.MTU < mtu {
			return fail(unix.EINVAL, "")
		}
	case kindVLAN:
		if l.lower.MTU < mtu {
			return fail(unix.ERANGE, "")
		}
	case kindBridge:
		l.mtuByUser = true
	}
	l.MTU = mtu
	k.event(evChangeMTU, l)
	return nil
}

func (k *Kernel) unlinkOrder(l *link) {
	at := slices.Index(k.order, l)
	k.order = slices.Delete(k.order, at, at+1)
	delete(k.links, l.Index)
	delete(k.byName, l.Name)
	l.registered = false
	k.attachAll()
}

// unregister removes links as unregister_netdevice_many does: all are closed
// first.
func (k *Kernel) unregister(ls []*link) {
	k.closeMany(ls)
	for _, l := range ls {
		k.unlinkOrder(l)
	}
	for _, l := range ls {
		k.event(evUnregister, l)
		k.mplsGone(l)
		if l.announced {
			k.notifyLink(unix.RTM_DELLINK, k.info(l))
		}
		k.uninit(l)
	}
}
