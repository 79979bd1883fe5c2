package vpptest

import (
	"fmt"
	"slices"
)

// Retvals, as the exchanges show them.
const (
	none             = ^uint32(0)
	rvUnspecified    = -1
	rvNoInterface    = -2
	rvNoFIB          = -3
	rvNoEntry        = -6
	rvInvalid        = -7
	rvUnimplemented  = -9
	rvDriver         = -11
	rvNoNetNS        = -12
	rvHostName       = -13
	rvDisabled       = -30
	rvRegistration   = -31
	rvNoPaths        = -52
	rvPathInterface  = -54
	rvBadVLAN        = -55
	rvSubExists      = -56
	rvLength         = -59
	rvNoAddress      = -60
	rvNoIPv6         = -62
	rvNoHost         = -71
	rvBadArgument    = -73
	rvInterfaceThere = -79
	rvPaired         = -81
	rvNoSub          = -98
	rvAddress4       = -105
	rvHasAddress     = -114
	rvUnsupported    = -126
	rvAddress6       = -127
	rvAgain          = -165
	rvPrefixLength   = -171
	rvThere          = -81 // VALUE_EXIST
)

// Flags of interfaces and sub-interfaces.
const (
	adminUp = 1
	linkUp  = 2

	subOneTag  = 2
	subTwoTags = 4
	subDot1AD  = 8
	subExact   = 16
	subKnown   = 0xff // create_subif forgets the others
)

// vif is an interface.
type vif struct {
	index, sup uint32
	name, dev  string
	host       string // of an af_packet
	tag        string
	mac        [6]byte
	up, link   bool
	isSub      bool
	seenUp     bool
	poisoned   bool // VPP dies when it goes
	instance   uint32
	linkMTU    uint16
	mtu        [4]uint32
	subID      uint32
	tags       uint8
	outer      uint16
	inner      uint16
	flags      uint32
	table      [2]uint32
	addrs      [2][]prefix
	local      [16]byte // link-local address
	enabled    [2]int   // how often IPv4 and IPv6 were enabled
	mpls       int      // how often it was enabled
	pair       *pair
	companion  bool // dataplane's end of a pair
}

// event is one that is to be told.
type event struct {
	index   uint32
	flags   uint32
	deleted bool
}

// state is what a VPP has.
type state struct {
	s        *Server
	dead     bool
	doomed   bool   // the next message finds it dead
	vifs     []*vif // by index
	free     []uint32
	loops    map[uint32]bool // instances of loopbacks
	taps     uint32
	ifindex  uint32
	pending  []event
	told     []neighEvent
	tables   []*table
	mfibs    []*mfib
	mpls     []*mplsTable
	sources  []source
	paths    intern
	neighs   []*neigh
	pairs    []*pair // by place, as the cursor counts
	pairHole []int
	netns    string
	types    []uint16 // of frames that linux-cp hands on
	osi      []uint8  // protocols of OSI that it hands on
}

func newState(s *Server) *state {
	st := &state{s: s, loops: map[uint32]bool{}, ifindex: 3, netns: s.opt.NetNS, taps: 4096}
	st.paths.init()
	st.add(&vif{name: "local0", dev: "local"})
	st.addTable(0, 0, "")
	st.addTable(0, 1, "")
	st.sources = append(st.sources, builtinSources...)
	if s.opt.LinuxNL {
		st.sources = append(st.sources, source{16, 23, "lcp-rt"}, source{17, 24, "lcp-rt-dynamic"})
	}
	return st
}

// end lets go of what is real.
func (st *state) end() {
	for _, p := range st.pairs {
		if p != nil && p.tap != nil {
			p.tap.Close()
			p.tap = nil
		}
	}
}

// add gives an interface an index: the one that was freed last, or a new one.
func (st *state) add(v *vif) *vif {
	if n := len(st.free); n > 0 {
		v.index = st.free[n-1]
		st.free = st.free[:n-1]
		st.vifs[v.index] = v
	} else {
		v.index = uint32(len(st.vifs))
		st.vifs = append(st.vifs, v)
	}
	if !v.isSub {
		v.sup = v.index
	}
	st.pending = append(st.pending, event{index: v.index})
	return v
}

// next is the index that the next interface will have.
func (st *state) next() uint32 {
	if n := len(st.free); n > 0 {
		return st.free[n-1]
	}
	return uint32(len(st.vifs))
}

func (st *state) vif(index uint32) *vif {
	if int64(index) >= int64(len(st.vifs)) {
		return nil
	}
	return st.vifs[index]
}

// remove deletes an interface and what is on it.
func (st *state) remove(v *vif) {
	for _, o := range slices.Clone(st.vifs) {
		if o != nil && o != v && o.isSub && o.sup == v.index {
			st.remove(o)
		}
	}
	for af := range v.addrs {
		for len(v.addrs[af]) > 0 {
			st.delAddr(v, v.addrs[af][0])
		}
	}
	for af := range v.enabled {
		if v.enabled[af] > 0 {
			v.enabled[af] = 1
			st.enable(v, uint8(af), false)
		}
	}
	st.neighs = slices.DeleteFunc(st.neighs, func(n *neigh) bool { return n.vif == v.index })
	if v.pair != nil {
		st.delPair(v.pair)
	}
	st.dead = st.dead || v.poisoned
	if v.dev == "Loopback" && !v.isSub {
		delete(st.loops, v.instance)
	}
	st.vifs[v.index] = nil
	st.free = append(st.free, v.index)
	st.pending = append(st.pending, event{index: v.index, deleted: true})
}

// base is the hardware interface of a sub-interface.
func (st *state) base(v *vif) *vif {
	if v.isSub {
		return st.vifs[v.sup]
	}
	return v
}

// status is the flags of an interface now.
func (st *state) status(v *vif) (f uint32) {
	if v.up {
		f |= adminUp
	}
	if b := st.base(v); b != nil && (b.link || b.dev == "Loopback" && b.up) {
		f |= linkUp
	}
	return f
}

// setUp changes the administrative state. An event's flags are what happened
// since the last one.
func (st *state) setUp(v *vif, up bool) {
	if v.up == up {
		return
	}
	v.up = up
	e := event{index: v.index}
	if up {
		e.flags = adminUp
		if v.dev == "Loopback" && !v.isSub || v.seenUp {
			e.flags |= linkUp
		}
		v.seenUp = true
	}
	st.pending = append(st.pending, e)
	st.syncCarrier(v)
}

// tellEvents puts what happened into the answers of those that want to know.
func (st *state) tellEvents() {
	if len(st.pending)+len(st.told) == 0 {
		return
	}
	st.s.told.Store(true)
	for _, e := range st.pending {
		for c := range st.s.conns {
			if !c.events {
				continue
			}
			c.start = len(c.out)
			c.raw(header[:]).u16(st.s.numbers["sw_interface_event"])
			c.u32(c.id).u32(c.pid).u32(e.index).u32(e.flags).flag(e.deleted).end()
		}
	}
	st.pending = st.pending[:0]
	for _, e := range st.told {
		for c := range st.s.conns {
			if pid, wants := c.neigh[e.n.addr.af]; wants {
				c.start = len(c.out)
				c.raw(header[:]).u16(st.s.numbers["ip_neighbor_event_v2"])
				c.u32(c.id).u32(pid).u32(e.flags)
				c.neighbor(&e.n).end()
			}
		}
	}
	st.told = st.told[:0]
}

// AddPhy makes an interface as a driver does: an Ethernet with a link.
func (s *Server) AddPhy(name string, mac [6]byte, mtu uint16) uint32 {
	s.mu.Lock()
	v := s.st.add(&vif{name: name, dev: "dpdk", mac: mac, link: true, linkMTU: mtu, mtu: [4]uint32{uint32(mtu)}})
	s.mu.Unlock()
	s.flushAll()
	return v.index
}

// AddLayer3 makes an interface without an Ethernet header.
func (s *Server) AddLayer3(name string, mtu uint16) uint32 {
	s.mu.Lock()
	v := s.st.add(&vif{name: name, dev: "ipip", link: true, linkMTU: mtu, mtu: [4]uint32{uint32(mtu)}})
	s.mu.Unlock()
	s.flushAll()
	return v.index
}

// DelInterface removes an interface, as an operator does.
func (s *Server) DelInterface(index uint32) {
	s.mu.Lock()
	if v := s.st.vif(index); v != nil {
		s.st.remove(v)
	}
	s.mu.Unlock()
	s.flushAll()
}

// SetLink changes the link of an interface.
func (s *Server) SetLink(index uint32, up bool) {
	s.mu.Lock()
	if v := s.st.vif(index); v != nil && v.link != up {
		v.link = up
		e := event{index: index}
		if up {
			e.flags = linkUp
		}
		s.st.pending = append(s.st.pending, e)
		s.st.syncCarrier(v)
	}
	s.mu.Unlock()
	s.flushAll()
}

// SetUp changes the administrative state, as an operator does.
func (s *Server) SetUp(index uint32, up bool) {
	s.mu.Lock()
	if v := s.st.vif(index); v != nil {
		s.st.setUp(v, up)
	}
	s.mu.Unlock()
	s.flushAll()
}

func (v *vif) String() string { return fmt.Sprintf("%s (%d)", v.name, v.index) }
