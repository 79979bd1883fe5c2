package mirror

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// leaf is where the kernel keeps IPv4 routes of one table and address, of all
// prefix lengths, types of service and priorities together (struct key_vector,
// net/ipv4/fib_trie.c). When a part of a dump ends inside of one, the next goes
// on behind as many routes as were shown of it (fn_trie_dump_leaf): if one of
// those has gone meanwhile, another is passed over.
type leaf struct {
	table uint32
	dst   [4]byte
	four  bool // only IPv4 routes have leaves
}

// ended notes that a part of the dump of routes ends with this one.
func (e *Engine) ended(body []byte) {
	if l := leafOf(body); l.four {
		e.tails[l] = true
	}
}

// leafOf reads the leaf from the body of a route message; what is no IPv4
// route has the zero one, in which no part ends.
func leafOf(body []byte) (l leaf) {
	const sizeofRtMsg, typeMask = 12, 1<<14 - 1
	if len(body) < sizeofRtMsg || body[0] != unix.AF_INET {
		return l
	}
	l.table, l.four = uint32(body[4]), true
	for b := body[sizeofRtMsg:]; len(b) >= 4; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			break
		}
		switch typ := binary.NativeEndian.Uint16(b[2:]) & typeMask; {
		case typ == unix.RTA_DST && n == 8:
			l.dst = [4]byte(b[4:8])
		case typ == unix.RTA_TABLE && n == 8:
			l.table = binary.NativeEndian.Uint32(b[4:])
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return l
}
