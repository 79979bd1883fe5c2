package fib

import (
	"encoding/binary"
	"math/bits"
	"net/netip"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// entryKey identifies a route of the dataplane.
type entryKey struct {
	hi, lo uint64 // the destination: IPv4 in lo; of MPLS label<<1 and whether it is the bottom
	fib    uint16 // place in Table.fibs
	plen   uint8
	fam    uint8
}

// entry is a route of the dataplane: what it must be, what the dataplane has
// been told, and what is going on. It has no pointer: a million of them are
// nothing to the garbage collector.
type entry struct {
	entryKey
	src   uint16 // where the route comes from that counts: place in Table.sources
	flags uint16
	prio  uint32 // its metric
	want  uint32 // path set; setNone: no namespace has a route
	have  uint32 // path set that the dataplane has
	// link is the next entry in the queue (queued), the path set that is being
	// told (inFlight), or the number of the attempt that is waited for (waiting).
	link uint32
}

// What goes on with an entry.
const (
	several     uint16 = 1 << iota // candidates are in Table.several
	queued                         // in the queue
	inFlight                       // told, not answered
	waiting                        // refused: again later
	unsupported                    // refused for as long as this connection lasts
	noInterface                    // waiting, but for an interface as well
	marked                         // the dump has shown it
	unclaimed                      // the dataplane has it of us; no namespace has had a route since
	entryLive                      // not on the free list
	triesShift  = 12               // the rest counts refusals in a row
)

const triesMax = 15

func (e *entry) is(f uint16) bool { return e.flags&f != 0 }
func (e *entry) tries() int       { return int(e.flags >> triesShift) }
func (e *entry) setTries(n int) {
	e.flags = e.flags&(1<<triesShift-1) | uint16(min(n, triesMax))<<triesShift
}

// wanted is the path set that the dataplane must have.
func (e *entry) wanted() uint32 {
	if e.want < setFirst {
		return setNone
	}
	return e.want
}

// counts tells whether the entry keeps its FIB in use.
func (e *entry) counts() bool { return e.have != setNone || e.is(inFlight) || e.wanted() != setNone }

// bit is 1 for true.
func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

const (
	chunkBits = 12
	chunkSize = 1 << chunkBits
	entrySize = 40
)

// entries is an arena of entries whose ids stay, and an index by key: open
// addressing, linear probing, neighbouring prefixes together, as routes come.
type entries struct {
	chunks [][]entry
	free   uint32 // first of the free entries, linked
	n      int
	index  []uint32
	// tags has some of each key's hash beside its id, so that a search need not
	// look at the entries of others. Where there is no id, tagLeft says that one
	// has been there and that a search goes on.
	tags []uint8
	left int // such places
	seed uint64
}

const tagLeft = 1

// at is the entry of an id.
func (t *entries) at(id uint32) *entry { return &t.chunks[id>>chunkBits][id&(chunkSize-1)] }

// end is above every id in use; ids begin at 1.
func (t *entries) end() uint32 { return uint32(len(t.chunks)) << chunkBits }

func (k *entryKey) hash(seed uint64) uint64 {
	rest := uint64(k.plen)<<48 | uint64(k.fam)<<40 | uint64(k.fib)
	p := k.lo
	switch {
	case k.fam == unix.AF_INET:
		p >>= 32 - k.plen
	case k.fam == unix.AF_INET6 && k.plen <= 64:
		p = k.hi >> (64 - k.plen)
	case k.fam == unix.AF_INET6:
		p >>= 128 - k.plen
		rest ^= k.hi * 0x9fb21c651e98df25
	}
	hi, lo := bits.Mul64(p>>4^seed, 0x9e3779b97f4a7c15)
	hi, lo = bits.Mul64(hi^lo^rest, 0xd6e8feb86659fd93)
	return (hi^lo)&^15 | p&15
}

const indexGroup = 16

// begin is where the search for a key begins, and the key's tag.
func (t *entries) begin(k *entryKey) (int, uint8) {
	h := k.hash(t.seed)
	g, _ := bits.Mul64(h, uint64(len(t.index)/indexGroup))
	return int(g)*indexGroup + int(h&(indexGroup-1)), uint8(h>>8)&^(indexGroup-1) | uint8(h&(indexGroup-1))
}

// find gives the id of a key, 0 for none.
func (t *entries) find(k *entryKey) uint32 {
	if t.n == 0 {
		return 0
	}
	for i, tag := t.begin(k); ; {
		switch id := t.index[i]; {
		case id == 0 && t.tags[i] != tagLeft:
			return 0
		case id != 0 && t.tags[i] == tag && t.at(id).entryKey == *k:
			return id
		}
		i = t.next(i)
	}
}

// next is the place after one.
func (t *entries) next(i int) int {
	if i++; i == len(t.index) {
		return 0
	}
	return i
}

// add makes the entry of a key that is not there.
func (t *entries) add(k *entryKey) uint32 {
	if (t.n+t.left+1)*4 > len(t.index)*3 {
		t.grow()
	}
	if t.free == 0 {
		t.chunk()
	}
	id := t.free
	e := t.at(id)
	t.free = e.link
	*e = entry{entryKey: *k, flags: entryLive}
	t.n++
	t.place(id)
	return id
}

// place puts an id that is not there where a search for its key comes by.
func (t *entries) place(id uint32) {
	i, tag := t.begin(&t.at(id).entryKey)
	for t.index[i] != 0 {
		i = t.next(i)
	}
	if t.tags[i] == tagLeft {
		t.left--
	}
	t.index[i], t.tags[i] = id, tag
}

// chunk adds free entries, the lowest first.
func (t *entries) chunk() {
	c := make([]entry, chunkSize)
	first := t.end()
	for i := range c {
		c[i].link = first + uint32(i) + 1
	}
	c[chunkSize-1].link = t.free
	t.chunks = append(t.chunks, c)
	t.free = first
	if first == 0 {
		t.free = 1 // id 0 is none
	}
}

// grow makes room for more, or takes away what has been left where enough has.
func (t *entries) grow() {
	n := max(len(t.index), 64)
	if t.n*2 > len(t.index) {
		n = n * 3 / 2
	}
	old := t.index
	t.index = make([]uint32, (n+indexGroup-1)/indexGroup*indexGroup)
	t.tags = make([]uint8, len(t.index))
	t.left = 0
	for _, id := range old {
		if id != 0 {
			t.place(id)
		}
	}
}

// remove takes an entry away. Its place is left as one that has been used,
// unless it is the last of its run: moving up what stands behind it would mean
// to look at each of them.
func (t *entries) remove(id uint32) {
	e := t.at(id)
	i, _ := t.begin(&e.entryKey)
	for t.index[i] != id {
		i = t.next(i)
	}
	t.index[i], t.tags[i] = 0, tagLeft
	t.left++
	if j := t.next(i); t.index[j] == 0 && t.tags[j] != tagLeft {
		for t.index[i] == 0 && t.tags[i] == tagLeft {
			t.tags[i] = 0
			t.left--
			if i--; i < 0 {
				i = len(t.index) - 1
			}
		}
	}
	*e = entry{link: t.free}
	t.free = id
	t.n--
}

// bytes is the memory of all of it.
func (t *entries) bytes() int {
	return len(t.chunks)*chunkSize*entrySize + len(t.index)*4 + len(t.tags)
}

var be = binary.BigEndian

// setDst puts a destination into a key.
func (k *entryKey) setDst(p netip.Prefix) {
	k.plen = uint8(p.Bits())
	if p.Addr().Is4() {
		a := p.Addr().As4()
		k.fam, k.hi, k.lo = unix.AF_INET, 0, uint64(be.Uint32(a[:]))
		return
	}
	a := p.Addr().As16()
	k.fam, k.hi, k.lo = unix.AF_INET6, be.Uint64(a[:]), be.Uint64(a[8:])
}

// setLabel makes a key that of an MPLS label.
func (k *entryKey) setLabel(label uint32, eos bool) {
	k.fam, k.hi, k.lo, k.plen = unix.AF_MPLS, 0, uint64(label)<<1, 0
	if eos {
		k.lo |= 1
	}
}

// routeKey is the key as the dataplane has it.
func (k *entryKey) routeKey(table uint32) dataplane.RouteKey {
	switch k.fam {
	case unix.AF_INET:
		var a [4]byte
		be.PutUint32(a[:], uint32(k.lo))
		return dataplane.RouteKey{Table: table, Prefix: netip.PrefixFrom(netip.AddrFrom4(a), int(k.plen))}
	case unix.AF_INET6:
		var a [16]byte
		be.PutUint64(a[:], k.hi)
		be.PutUint64(a[8:], k.lo)
		return dataplane.RouteKey{Table: table, Prefix: netip.PrefixFrom(netip.AddrFrom16(a), int(k.plen))}
	}
	return dataplane.RouteKey{Table: table, Label: uint32(k.lo >> 1), EOS: k.lo&1 != 0}
}
