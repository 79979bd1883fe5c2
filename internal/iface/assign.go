package iface

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// PrefixRequest is what an interface asks for of every prefix of its classes.
type PrefixRequest struct {
	Interface string
	Length    uint8    // of the subnet, 1 to 64 (option ip6assign)
	Hint      uint64   // the subnet wanted, in /64s from the start of the prefix
	HintSet   bool     // option ip6hint was given
	Classes   []string // of prefixes to take from; empty for all
	Weight    uint32   // of two with one length the heavier comes first
}

// Wants tells whether the request is for prefixes of a class.
func (r *PrefixRequest) Wants(class string) bool {
	return len(r.Classes) == 0 || slices.Contains(r.Classes, class)
}

// Assignment is a subnet of a prefix that an interface has got.
type Assignment struct {
	Interface string
	Subnet    netip.Prefix
	// Wanted is the length that was asked for; Subnet is longer where there was
	// no room.
	Wanted uint8
}

// Assign gives every request a subnet of prefix (of length 64 at most), where
// there is room. No two overlap each other or excluded (invalid: nothing is
// excluded), and whoever had a subnet before of the same length as wanted now
// keeps it, unless somebody's hint asks for it. The order is that of netifd:
// first those with a hint, then what was there before, then the others by
// length (the largest subnets first), weight (the heaviest first) and name.
// Where there is no room for a subnet, a smaller one is tried, down to a /64.
// The assignments are in the order of their subnets; unmet lists, by name, who
// got nothing.
func Assign(prefix, excluded netip.Prefix, requests []PrefixRequest, before []Assignment) (out []Assignment, unmet []string) {
	t := takenSpace{bits: prefix.Bits()}
	if excluded.IsValid() && prefix.Overlaps(excluded) {
		if excluded.Bits() <= prefix.Bits() {
			t.take(0, 64-t.bits)
		} else {
			t.take(offset(prefix, excluded.Addr()), max(64-excluded.Bits(), 0))
		}
	}
	requests = slices.Clone(requests)
	slices.SortFunc(requests, func(a, b PrefixRequest) int { return strings.Compare(a.Interface, b.Interface) })
	had := map[string]Assignment{}
	for _, a := range before {
		had[a.Interface] = a
	}
	put := func(r *PrefixRequest, start uint64, length int) {
		out = append(out, Assignment{r.Interface, netip.PrefixFrom(at(prefix, start), length), r.Length})
	}
	var left []PrefixRequest
	for _, r := range requests {
		size := 64 - int(r.Length)
		if start := r.Hint >> size << size; r.HintSet && t.free(start, size) {
			t.take(start, size)
			put(&r, start, int(r.Length))
			continue
		}
		left = append(left, r)
	}
	var others []PrefixRequest
	for _, r := range left {
		a, ok := had[r.Interface]
		if ok && a.Wanted == r.Length && a.Subnet.Bits() >= t.bits && a.Subnet.Bits() <= 64 && prefix.Contains(a.Subnet.Addr()) {
			if start := offset(prefix, a.Subnet.Masked().Addr()); t.free(start, 64-a.Subnet.Bits()) {
				t.take(start, 64-a.Subnet.Bits())
				put(&r, start, a.Subnet.Bits())
				continue
			}
		}
		others = append(others, r)
	}
	slices.SortStableFunc(others, func(a, b PrefixRequest) int {
		return cmp.Or(cmp.Compare(a.Length, b.Length), cmp.Compare(b.Weight, a.Weight))
	})
	for _, r := range others {
		found := false
		for length := max(int(r.Length), t.bits); length <= 64 && !found; length++ {
			var start uint64
			if start, found = t.find(64 - length); found {
				t.take(start, 64-length)
				put(&r, start, length)
			}
		}
		if !found {
			unmet = append(unmet, r.Interface)
		}
	}
	slices.SortFunc(out, func(a, b Assignment) int { return a.Subnet.Addr().Compare(b.Subnet.Addr()) })
	slices.Sort(unmet)
	return out, unmet
}

// takenSpace is the /64s of a prefix that are not free, as blocks of 2^size
// from start, sorted.
type takenSpace struct {
	bits   int
	blocks []block
}

type block struct {
	start uint64
	size  int // binary logarithm of the count of /64s, 0 to 63
}

// last is the last /64 of a block.
func (b block) last() uint64 { return b.start + (1<<b.size - 1) }

// whole is the prefix itself.
func (t *takenSpace) whole() block { return block{0, 64 - t.bits} }

func (t *takenSpace) take(start uint64, size int) {
	b := block{start, size}
	i, _ := slices.BinarySearchFunc(t.blocks, b, func(x, y block) int { return cmp.Compare(x.start, y.start) })
	t.blocks = slices.Insert(t.blocks, i, b)
}

// free tells whether a block is within the prefix and nobody has any of it.
func (t *takenSpace) free(start uint64, size int) bool {
	if size > 64-t.bits || start > t.whole().last() {
		return false
	}
	b := block{start, size}
	return !slices.ContainsFunc(t.blocks, func(x block) bool { return x.start <= b.last() && b.start <= x.last() })
}

// find looks for the first free block of a size.
func (t *takenSpace) find(size int) (start uint64, ok bool) {
	if t.free(0, size) {
		return 0, true
	}
	for _, x := range t.blocks {
		if x.last() >= t.whole().last() {
			break
		}
		start = (x.last() + 1<<size) >> size << size // the next one that begins after x
		if start > x.last() && t.free(start, size) {
			return start, true
		}
	}
	return 0, false
}

// offset gives how many /64s an address is from the start of a prefix.
func offset(prefix netip.Prefix, a netip.Addr) uint64 {
	return high(a) - high(prefix.Masked().Addr())
}

// at gives the address so many /64s from the start of a prefix.
func at(prefix netip.Prefix, n uint64) netip.Addr {
	return join(high(prefix.Masked().Addr())+n, 0)
}

func high(a netip.Addr) (n uint64) {
	b := a.As16()
	for _, x := range b[:8] {
		n = n<<8 | uint64(x)
	}
	return n
}

// join makes an address of its two halves.
func join(high, low uint64) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i] = byte(high >> (56 - 8*i))
		b[8+i] = byte(low >> (56 - 8*i))
	}
	return netip.AddrFrom16(b)
}
