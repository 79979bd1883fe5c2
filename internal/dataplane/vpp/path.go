package vpp

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"netbraid/internal/dataplane"
)

// A path of a route is 167 octets (vl_api_fib_path): interface, table, RPF id,
// weight, preference, type, flags, protocol, next hop (address without a
// family, label, two indices that we do not use), and 16 labels of 7 octets,
// all of them always.
const (
	pathLen    = 4 + 4 + 4 + 1 + 1 + 4 + 4 + 4 + 16 + 12 + 1 + dataplane.MaxLabels*labelLen
	labelLen   = 1 + 4 + 1 + 1
	pathWeight = 12
	pathNH     = 26
	pathVia    = pathNH + 16 // the label of the next hop
	noLabel    = 0x100000    // there: none
	labelTTL   = 64
	// maxPaths is bounded by the octet that counts them.
	maxPaths  = 255
	maxWeight = 255 // an octet as well
	maxLabel  = 1<<20 - 1
)

// Types of a path (vl_api_fib_path_type) and protocols of its next hop.
const (
	pathNormal   = 0
	pathLocal    = 1
	pathDrop     = 2
	pathUnreach  = 5
	pathProhibit = 6

	protoIP4  = 0
	protoIP6  = 1
	protoMPLS = 2
)

// pathType is the path type of a kind of route that has no next hop.
func pathType(k dataplane.RouteKind) uint32 {
	switch k {
	case dataplane.Blackhole:
		return pathDrop
	case dataplane.Unreachable:
		return pathUnreach
	}
	return pathProhibit
}

// block is the encoded paths of a PathSet.
type block struct {
	n   uint8 // of paths
	b   []byte
	err error // why they cannot be sent
}

// proto tells routes apart whose paths would be encoded differently: the
// protocol of a path without a next hop is the route's own.
func protoOf(k dataplane.RouteKey) uint8 {
	if !k.MPLS() && !k.Prefix.Addr().Is4() {
		return protoIP6
	}
	return protoIP4
}

// encodePaths makes the block of a PathSet for routes of a protocol.
func encodePaths(s *dataplane.PathSet, proto uint8) block {
	if s.Kind != dataplane.Unicast {
		if s.Kind > dataplane.Prohibit || len(s.Paths) > 0 {
			return block{err: fmt.Errorf("%w: a route of kind %d with %d paths", dataplane.ErrRefused, s.Kind, len(s.Paths))}
		}
		b := appendPath(nil, &dataplane.Path{Index: dataplane.NoIndex, Weight: 1}, proto)
		binary.BigEndian.PutUint32(b[pathWeight+2:], pathType(s.Kind))
		return block{n: 1, b: b}
	}
	if len(s.Paths) == 0 || len(s.Paths) > maxPaths {
		return block{err: fmt.Errorf("%w: %d paths, VPP takes 1..%d", dataplane.ErrRefused, len(s.Paths), maxPaths)}
	}
	heaviest := uint16(0)
	for i := range s.Paths {
		if err := checkPath(&s.Paths[i], proto); err != nil {
			return block{err: err}
		}
		heaviest = max(heaviest, s.Paths[i].Weight)
	}
	b := make([]byte, 0, len(s.Paths)*pathLen)
	for _, p := range s.Paths {
		if heaviest > maxWeight {
			p.Weight = uint16(max(1, uint32(p.Weight)*maxWeight/uint32(heaviest)))
		}
		b = appendPath(b, &p, proto)
	}
	return block{n: uint8(len(s.Paths)), b: b}
}

// checkPath refuses what VPP would take and should not.
func checkPath(p *dataplane.Path, proto uint8) error {
	if p.Weight == 0 {
		return fmt.Errorf("%w: a path with a weight of 0", dataplane.ErrRefused)
	}
	if proto == protoIP6 && p.Via.Is4() {
		return fmt.Errorf("%w: next hop %s for IPv6", dataplane.ErrRefused, p.Via)
	}
	if p.Index == localInterface {
		return fmt.Errorf("%w: a path through VPP's interface 0, which is none", dataplane.ErrRefused)
	}
	if p.Via.IsValid() && (p.Via.Zone() != "" || p.Via.IsMulticast() || p.Via.Is4In6() || p.Via.IsUnspecified()) {
		return fmt.Errorf("%w: next hop %s", dataplane.ErrRefused, p.Via)
	}
	if p.Labels.N > dataplane.MaxLabels {
		return fmt.Errorf("%w: %d labels, VPP takes up to %d", dataplane.ErrRefused, p.Labels.N, dataplane.MaxLabels)
	}
	for _, l := range p.Labels.L[:p.Labels.N] {
		if l > maxLabel {
			return fmt.Errorf("%w: label %d has more than 20 bits", dataplane.ErrRefused, l)
		}
	}
	return nil
}

func appendPath(b []byte, p *dataplane.Path, proto uint8) []byte {
	var nh [16]byte
	if p.Via.IsValid() {
		proto = protoIP6
		nh = p.Via.As16()
		if p.Via.Is4() {
			a := p.Via.As4()
			proto, nh = protoIP4, [16]byte{}
			copy(nh[:], a[:])
		}
	}
	table := p.Table
	if p.Index != dataplane.NoIndex {
		table = 0 // means nothing there
	}
	b = put32(b, p.Index, table, 0)
	b = append(b, byte(p.Weight), 0)
	b = put32(b, pathNormal, 0, uint32(proto))
	b = append(b, nh[:]...)
	b = put32(b, noLabel, 0, 0)
	b = append(b, p.Labels.N)
	for i, l := range p.Labels.L {
		b = put32(append(b, 0), l)
		if i < int(p.Labels.N) {
			b = append(b, labelTTL, 0)
		} else {
			b = append(b, 0, 0)
		}
	}
	return b
}

// decodePaths reads what a route of ours does. What we cannot have written
// becomes a set without paths: equal to nothing that is wanted.
func decodePaths(b []byte) (*dataplane.PathSet, error) {
	if len(b)%pathLen != 0 {
		return nil, errShort
	}
	s := &dataplane.PathSet{}
	for d := (decoder{b: b}); len(d.b) > 0; {
		p, kind, foreign := decodePath(&d)
		if d.err != nil {
			return nil, d.err
		}
		if foreign || kind != dataplane.Unicast && len(b) != pathLen {
			return &dataplane.PathSet{}, nil
		}
		if s.Kind = kind; kind == dataplane.Unicast {
			s.Paths = append(s.Paths, p)
		}
	}
	s.Sort()
	return s, nil
}

// decodePath reads one path; foreign says that it is none that we write.
func decodePath(d *decoder) (p dataplane.Path, kind dataplane.RouteKind, foreign bool) {
	p.Index, p.Table = d.u32(), d.u32()
	d.skip(4)
	p.Weight = max(uint16(d.u8()), 1)
	preference := d.u8()
	typ, flags, proto := d.u32(), d.u32(), d.u32()
	nh := d.take(16)
	d.skip(3 * 4)
	p.Labels.N = d.u8()
	labels := d.take(dataplane.MaxLabels * labelLen)
	if d.err == nil && p.Labels.N > dataplane.MaxLabels {
		d.err = errValue
	}
	if d.err != nil {
		return p, 0, false
	}
	for i := range int(p.Labels.N) {
		p.Labels.L[i] = binary.BigEndian.Uint32(labels[i*labelLen+1:])
	}
	a := netip.AddrFrom16([16]byte(nh))
	if proto == protoIP4 {
		a = netip.AddrFrom4([4]byte(nh[:4]))
	}
	if !a.IsUnspecified() {
		p.Via = a
	}
	if p.Index != dataplane.NoIndex {
		p.Table = 0
	}
	switch typ {
	case pathNormal:
	case pathDrop:
		kind = dataplane.Blackhole
	case pathUnreach:
		kind = dataplane.Unreachable
	case pathProhibit:
		kind = dataplane.Prohibit
	default:
		foreign = true
	}
	return p, kind, foreign || preference != 0 || flags != 0
}

// paths keeps what PathSets are on the wire, and which PathSet bytes of the
// wire are, so that neither is worked out for every route, and so that what
// was written comes back as what it was, also where VPP keeps less of it (a
// share of more than 255; of two sets that it keeps alike, as the newer one).
type paths struct {
	blocks map[pathKey]*block
	last   *block // of lastKey
	key    pathKey
	sets   map[string]*dataplane.PathSet
}

type pathKey struct {
	set   *dataplane.PathSet
	proto uint8
}

// maxKept bounds what is kept: the rest is worked out again.
const maxKept = 1 << 16

// block returns the encoded paths of a set.
func (c *paths) block(s *dataplane.PathSet, proto uint8) *block {
	key := pathKey{s, proto}
	if c.last != nil && c.key == key {
		return c.last
	}
	bl := c.blocks[key]
	if bl == nil {
		made := encodePaths(s, proto)
		bl = &made
		if c.blocks == nil || len(c.blocks) >= maxKept {
			c.blocks = map[pathKey]*block{}
		}
		c.blocks[key] = bl
		if bl.err == nil {
			c.keep(string(asDumped(bl.b)), s)
		}
	}
	c.last, c.key = bl, key
	return bl
}

func (c *paths) keep(b string, s *dataplane.PathSet) {
	if c.sets == nil || len(c.sets) >= maxKept {
		c.sets = map[string]*dataplane.PathSet{}
	}
	c.sets[b] = s
}

// asDumped is a block as VPP shows it: without the label of the next hop.
func asDumped(b []byte) []byte {
	b = append([]byte(nil), b...)
	for i := pathVia; i < len(b); i += pathLen {
		clear(b[i : i+4])
	}
	return b
}

// set returns what dumped paths are. b is not kept.
func (c *paths) set(b []byte) (*dataplane.PathSet, error) {
	if s := c.sets[string(b)]; s != nil {
		return s, nil
	}
	s, err := decodePaths(b)
	if err != nil {
		return nil, err
	}
	c.keep(string(b), s)
	return s, nil
}
