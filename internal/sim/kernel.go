package sim

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Options says what kind of kernel to simulate. The zero value is one with
// the limits of Linux's defaults and without 802.1Q filtering in bridges.
type Options struct {
	// Seed chooses the MAC addresses that the kernel makes up.
	Seed uint64
	// QueueBytes bounds the queue of notifications (SO_RCVBUF as the kernel
	// counts it: about 832 bytes for a short message); 0 means 208 KiB.
	QueueBytes int
	// HZ is the kernel's timer frequency, to which bridge timers are rounded;
	// 0 means 250.
	HZ int
	// VLANFiltering is CONFIG_BRIDGE_VLAN_FILTERING. Without it a request that
	// has IFLA_BR_VLAN_FILTERING fails with EOPNOTSUPP.
	VLANFiltering bool
	// NoVLAN is a kernel without CONFIG_VLAN_8021Q.
	NoVLAN bool
	// MPLS is a kernel with the module mpls_router: links have the setting of
	// /proc/sys/net/mpls/conf. It has no routes of labels all the same.
	MPLS bool
}

const (
	defaultQueueBytes = 212992
	defaultHZ         = 250
	lowestIfindex     = 1
)

// Kernel is a simulated network namespace. Its methods must not be called
// concurrently.
type Kernel struct {
	opts    Options
	pcg     *rand.PCG
	now     time.Duration
	links   map[uint32]*link
	byName  map[string]*link
	order   []*link // by ifindex
	lastIdx uint32
	lo      *link
	watch   []*link // link-watch events, in the order in which they were fired
	dad     []*ifa6 // address work that is due
	conf    [2]confTrees
	mpls    map[string]int64 // input by link; nil without MPLS
	fib4    fib4
	fib6    fib6
	rules   [4]ruleList // by v4, v6, ipmr, ip6mr
	neighs  neighTable
	queue   queue
	faults  faults
	seq     uint32 // of the request in execution
	scratch []byte
	macs    []rtnl.HWAddr // what randomMAC gives first, in tests
}

// New makes a namespace as unshare(CLONE_NEWNET) does: the loopback link,
// down, and the default rules.
func New(opts Options) *Kernel {
	if opts.QueueBytes == 0 {
		opts.QueueBytes = defaultQueueBytes
	}
	if opts.HZ == 0 {
		opts.HZ = defaultHZ
	}
	k := &Kernel{
		opts:   opts,
		pcg:    rand.NewPCG(opts.Seed, 0x6e6574627261696e),
		links:  map[uint32]*link{},
		byName: map[string]*link{},
	}
	if opts.MPLS {
		k.mpls = map[string]int64{}
	}
	k.conf[v4] = newConfTrees(unix.AF_INET)
	k.conf[v6] = newConfTrees(unix.AF_INET6)
	k.fib4.init()
	k.fib6.init()
	k.neighs.init()
	k.defaultRules()
	k.lo = k.newLoopback()
	return k
}

// v4 and v6 index what the kernel has for both families.
const (
	v4 = 0
	v6 = 1
)

func familyIndex(family uint8) int {
	if family == unix.AF_INET6 {
		return v6
	}
	return v4
}

// fail makes the error of a request that the kernel refuses.
func fail(errno unix.Errno, extack string) *rtnl.Error {
	return &rtnl.Error{Errno: errno, Message: extack}
}

// Request executes one rtnetlink request, header included, to its end: what
// the kernel would do later in a work queue (link watch, address work) is done
// when it returns, as a caller sees it who waits a moment. It returns nil or
// what the NLMSG_ERROR would say.
func (k *Kernel) Request(msg []byte) *rtnl.Error {
	h, body, _, err := rtnl.NextMessage(msg)
	if err != nil {
		return fail(unix.EINVAL, err.Error())
	}
	if e := k.faults.take(h, body); e != nil {
		e.Type = h.Type
		return e
	}
	k.seq = h.Seq
	e := k.execute(h, body)
	if e != nil {
		e.Type = h.Type
	}
	k.Settle()
	k.seq = 0
	return e
}

func (k *Kernel) execute(h rtnl.Header, body []byte) *rtnl.Error {
	switch h.Type {
	case unix.RTM_NEWLINK, unix.RTM_SETLINK, unix.RTM_DELLINK:
		var r rtnl.LinkRequest
		if err := rtnl.DecodeLinkRequest(body, &r); err != nil {
			return fail(unix.EINVAL, err.Error())
		}
		return k.linkRequest(h, &r)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		var a rtnl.Addr
		if err := rtnl.DecodeAddr(body, &a); err != nil {
			return fail(unix.EINVAL, err.Error())
		}
		return k.addrRequest(h, &a)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		var r rtnl.Route
		if err := rtnl.DecodeRoute(body, &r); err != nil {
			return fail(unix.EINVAL, err.Error())
		}
		return k.routeRequest(h, &r)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		var r rtnl.Rule
		if err := rtnl.DecodeRule(body, &r); err != nil {
			return fail(unix.EINVAL, err.Error())
		}
		return k.ruleRequest(h, &r, hasAttr(body, unix.SizeofRtMsg, fraPriority))
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		var n rtnl.Neigh
		if err := rtnl.DecodeNeigh(body, &n); err != nil {
			return fail(unix.EINVAL, err.Error())
		}
		return k.neighRequest(h, &n)
	}
	return fail(unix.EOPNOTSUPP, "")
}

func (k *Kernel) addrRequest(h rtnl.Header, a *rtnl.Addr) *rtnl.Error {
	add := h.Type == unix.RTM_NEWADDR
	switch {
	case a.Family == unix.AF_INET && add:
		return k.newAddr4(h, a)
	case a.Family == unix.AF_INET:
		return k.delAddr4(a)
	case a.Family == unix.AF_INET6 && add:
		return k.newAddr6(h, a)
	case a.Family == unix.AF_INET6:
		return k.delAddr6(a)
	}
	return fail(unix.EOPNOTSUPP, "")
}

func (k *Kernel) routeRequest(h rtnl.Header, r *rtnl.Route) *rtnl.Error {
	add := h.Type == unix.RTM_NEWROUTE
	switch {
	case r.Family == unix.AF_INET && add:
		return k.newRoute4(h, r)
	case r.Family == unix.AF_INET:
		return k.delRoute4(r)
	case r.Family == unix.AF_INET6 && add:
		return k.newRoute6(h, r)
	case r.Family == unix.AF_INET6:
		return k.delRoute6(r)
	}
	return fail(unix.EOPNOTSUPP, "")
}

// Settle runs the work that the kernel queues: link watch and address work,
// until there is none. Request and the world changes call it.
func (k *Kernel) Settle() {
	for len(k.watch) > 0 || len(k.dad) > 0 {
		for len(k.watch) > 0 {
			l := k.watch[0]
			k.watch = k.watch[1:]
			k.linkWatch(l)
		}
		if len(k.dad) > 0 {
			a := k.dad[0]
			k.dad = k.dad[1:]
			k.dadWork(a)
		}
	}
}

// Tick lets d pass: duplicate address detection ends, lifetimes run out.
func (k *Kernel) Tick(d time.Duration) {
	end := k.now + d
	for {
		at, run := k.nextTimer()
		if run == nil || at > end {
			break
		}
		k.now = max(k.now, at)
		run()
		k.Settle()
	}
	k.now = end
	k.Settle()
}

func (k *Kernel) randomMAC() rtnl.HWAddr {
	if len(k.macs) > 0 {
		m := k.macs[0]
		k.macs = k.macs[1:]
		return m
	}
	v := k.pcg.Uint64()
	var m [6]byte
	for i := range m {
		m[i] = byte(v >> (8 * i))
	}
	m[0] = m[0]&^1 | 2
	return rtnl.MAC(m)
}
