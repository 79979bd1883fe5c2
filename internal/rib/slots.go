package rib

import "math/bits"

// key4 identifies an IPv4 route within one family of tables.
type key4 struct {
	dst   uint32
	prio  uint32
	table uint16 // index into tables
	plen  uint8
	tos   uint8
}

// key6 identifies an IPv6 route.
type key6 struct {
	hi, lo uint64
	prio   uint32
	table  uint16
	plen   uint8
	tos    uint8
}

// hash gives where a key belongs: high bits for the group, the last three for
// the place in it. Neighbouring prefixes of one length share a group: dumps
// come in that order.
func (k key4) hash(seed uint64) uint64 {
	p := uint64(k.dst) >> (32 - k.plen)
	return mix(p>>4, uint64(k.plen)<<48|uint64(k.tos)<<40|uint64(k.table), k.prio, seed)&^15 | p&15
}

func (k key6) hash(seed uint64) uint64 {
	rest := uint64(k.plen)<<48 | uint64(k.tos)<<40 | uint64(k.table)
	if k.plen <= 64 {
		p := k.hi >> (64 - k.plen)
		return mix(p>>4, rest, k.prio, seed)&^15 | p&15
	}
	p := k.lo >> (128 - k.plen)
	return mix(p>>4, rest^k.hi*0x9fb21c651e98df25, k.prio, seed)&^15 | p&15
}

func mix(p, rest uint64, prio uint32, seed uint64) uint64 {
	hi, lo := bits.Mul64(p^seed, 0x9e3779b97f4a7c15)
	x := hi ^ lo ^ rest ^ uint64(prio)<<8
	hi, lo = bits.Mul64(x, 0xd6e8feb86659fd93)
	return hi ^ lo
}

// next is the key whose group comes after that of k, when k is the first of its
// group.
func (k key4) next() (key4, bool) {
	p := k.dst >> (32 - k.plen)
	k.dst = (p + group) << (32 - k.plen)
	return k, p%group == 0
}

func (k key6) next() (key6, bool) {
	if k.plen > 64 {
		p := k.lo >> (128 - k.plen)
		k.lo = (p + group) << (128 - k.plen)
		return k, p%group == 0
	}
	p := k.hi >> (64 - k.plen)
	k.hi = (p + group) << (64 - k.plen)
	return k, p%group == 0
}

type hashed[K any] interface {
	comparable
	hash(seed uint64) uint64
	next() (K, bool)
}

// slot is one route, or (attr several) all routes of a key that has more than
// fits. attr 0 is an empty slot; left one whose route was removed: a search goes
// on behind it, and what belongs before its end may be put there.
type slot[K hashed[K]] struct {
	key  K
	attr uint32
}

// left is beyond every id of attributes, as several is.
const left = several - 1

// one tells whether an attr stands for one route.
func one(attr uint32) bool { return attr-1 < left-1 }

// group is how many neighbouring slots share one hash.
const group = 16

// slots is an open-addressing table with linear probing. What a dump marks is
// kept beside the slots, a bit for each, so that reading a table that has not
// changed writes next to nothing.
type slots[K hashed[K]] struct {
	e    []slot[K]
	used bitset // slots with routes
	seen bitset // by the last dump
	kept bitset // by the dumps before it whose marks count as well
	n    int
	dead int    // slots whose attr is left
	move uint64 // counts the times that slots have moved
	seed uint64

	touched uint32 // by ahead; means nothing
}

type bitset []uint64

func (b bitset) has(i int) bool { return b[i>>6]&(1<<(i&63)) != 0 }
func (b bitset) set(i int)      { b[i>>6] |= 1 << (i & 63) }

func (b bitset) clear(i int) { b[i>>6] &^= 1 << (i & 63) }

// begin takes all marks off; confirm only those that do not count besides.
func (s *slots[K]) begin() {
	clear(s.seen)
	clear(s.kept)
}

func (s *slots[K]) confirm() {
	for i, w := range s.seen {
		s.kept[i] |= w
	}
	clear(s.seen)
}

// unseen gives the slots in use of a word of 64 that no dump has marked.
func (s *slots[K]) unseen(word int) uint64 { return s.used[word] &^ (s.seen[word] | s.kept[word]) }

// put fills slot i, where find has said that the key would go.
func (s *slots[K]) put(i int, k K, attr uint32) {
	if s.e[i].attr == left {
		s.dead--
	}
	s.e[i] = slot[K]{k, attr}
	s.used.set(i)
	s.seen.set(i)
	s.n++
}

// home is where the search for a hash begins.
func (s *slots[K]) home(h uint64) int {
	g, _ := bits.Mul64(h, uint64(len(s.e)/group))
	return int(g)*group + int(h&(group-1))
}

// find gives the slot of a key, and whether it is there; otherwise it is where
// the key would go. The table must not be empty.
func (s *slots[K]) find(k K, h uint64) (int, bool) {
	free := -1
	for i := s.home(h); ; {
		e := &s.e[i]
		if e.attr != 0 && e.attr != left {
			if e.key == k {
				return i, true
			}
		} else {
			if free < 0 {
				free = i
			}
			if e.attr == 0 || e.key == k { // a key has been at the first free place
				return free, false
			}
		}
		if i++; i == len(s.e) {
			i = 0
		}
	}
}

// lookup is find for a table that may be empty.
func (s *slots[K]) lookup(k K) *slot[K] {
	if s.n == 0 {
		return nil
	}
	if i, ok := s.find(k, k.hash(s.seed)); ok {
		return &s.e[i]
	}
	return nil
}

// full tells whether one more empty slot is one too many.
func (s *slots[K]) full() bool { return (s.n+s.dead+1)*5 > len(s.e)*4 }

// room makes sure that one more fits.
func (s *slots[K]) room() {
	switch {
	case !s.full():
	case (s.n+1)*5 > len(s.e)*3:
		s.resize(max(len(s.e)*3/2, 64))
	default: // much is left of what was removed
		s.resize(len(s.e))
	}
}

func (s *slots[K]) resize(n int) {
	old := *s
	s.e = make([]slot[K], (n+63)/64*64)
	s.dead = 0
	s.move++
	words := len(s.e) / 64
	s.used, s.seen, s.kept = make(bitset, words), make(bitset, words), make(bitset, words)
	for i := range old.e {
		e := &old.e[i]
		if e.attr == 0 || e.attr == left {
			continue
		}
		j, _ := s.find(e.key, e.key.hash(s.seed))
		s.e[j] = *e
		s.used.set(j)
		if old.seen.has(i) {
			s.seen.set(j)
		}
		if old.kept.has(i) {
			s.kept.set(j)
		}
	}
}

// remove takes the route out of slot i. Nothing moves: the slot is empty when
// the one behind it is, and left otherwise.
func (s *slots[K]) remove(i int) {
	s.n--
	s.used.clear(i)
	s.seen.clear(i)
	s.kept.clear(i)
	s.e[i].attr = left
	s.dead++
	next := i + 1
	if next == len(s.e) {
		next = 0
	}
	if s.e[next].attr != 0 {
		return
	}
	for s.e[i].attr == left {
		s.e[i] = slot[K]{}
		s.dead--
		if i--; i < 0 {
			i = len(s.e) - 1
		}
	}
}

// ahead touches where the keys after the next will be looked for: a dump comes
// in their order, and memory that is asked for early is there when it is wanted.
func (s *slots[K]) ahead(k K) {
	n, ok := k.next()
	if !ok {
		return
	}
	i := s.home(n.hash(s.seed))
	e := s.e[i:min(i+group, len(s.e))]
	for j := 0; j < len(e); j += 4 {
		s.touched += e[j].attr
	}
}
