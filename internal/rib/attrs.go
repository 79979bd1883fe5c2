package rib

import (
	"encoding/binary"
	"slices"

	"netbraid/rtnl"
)

// attr is what routes share: everything of a route but its key.
type attr struct {
	route rtnl.Route // Dst, Table, Priority and TOS are zero
	refs  uint32
	made  uint32   // which of all sets of attributes that there ever were
	raws  []string // the spellings that are remembered
	// few4 and few6 are the routes that have them, unless they have ever been
	// many: what few have is found without a look at every slot.
	few4 []key4
	few6 []key6
	many bool
}

// fewMax bounds what is few.
const fewMax = 8

// rawsMax bounds the spellings remembered for one set of attributes.
const rawsMax = 16

// attrs interns attributes: first by the octets of a message, which costs no
// decoding, then by value.
type attrs struct {
	list  []attr // [0] is not used
	free  []uint32
	made  uint32
	raw   map[string]uint32
	canon map[rtnl.Route]uint32
	// recent has spellings that came lately, each in the place of its hash.
	recent  [256]spelling
	scratch []byte
}

// spelling is how a message says attributes: what of its fixed part counts, and
// its attributes but those of the key.
type spelling struct {
	head uint64
	rest string
	id   uint32
}

// headSize is how long the fixed part is where a spelling is one string.
const headSize = 8

// spell joins the parts of a spelling.
func spell(b []byte, head uint64, rest []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(b, head), rest...)
}

// place gives a spelling's place in recent. What differs from route to route is
// the gateway and the link, which come last.
func place(rest []byte) uint8 {
	var h uint64
	if n := len(rest); n >= 16 {
		h = ne.Uint64(rest[n-16:])*0x9e3779b97f4a7c15 ^ ne.Uint64(rest[n-8:])*0xd6e8feb86659fd93
	} else if n >= 8 {
		h = ne.Uint64(rest[n-8:]) * 0xd6e8feb86659fd93
	}
	return uint8(h >> 56)
}

// bySpelling gives the id of attributes that have come in this spelling before.
func (a *attrs) bySpelling(head uint64, rest []byte) (uint32, bool) {
	r := &a.recent[place(rest)]
	if r.id != 0 && r.head == head && r.rest == string(rest) {
		return r.id, true
	}
	a.scratch = spell(a.scratch[:0], head, rest)
	id, ok := a.raw[string(a.scratch)]
	if ok {
		for _, s := range a.list[id].raws {
			if s == string(a.scratch) {
				*r = spelling{head, s[headSize:], id}
			}
		}
	}
	return id, ok
}

func newAttrs() attrs {
	return attrs{list: make([]attr, 1), raw: map[string]uint32{}, canon: map[rtnl.Route]uint32{}}
}

// byValue gives the id of r's attributes, which it makes when they are new.
func (a *attrs) byValue(r *rtnl.Route) uint32 {
	t := template(r)
	if id, ok := a.canon[t]; ok {
		return id
	}
	var id uint32
	if n := len(a.free); n > 0 {
		id, a.free = a.free[n-1], a.free[:n-1]
	} else {
		id = uint32(len(a.list))
		a.list = append(a.list, attr{})
	}
	a.made++
	a.list[id] = attr{route: t, made: a.made}
	a.canon[t] = id
	return id
}

// remember notes that this spells the attributes of id.
func (a *attrs) remember(head uint64, rest []byte, id uint32) {
	if e := &a.list[id]; len(e.raws) < rawsMax {
		s := string(spell(nil, head, rest))
		e.raws = append(e.raws, s)
		a.raw[s] = id
	}
}

// hold counts the route of key k as one that has the attributes id.
func hold[K hashed[K]](a *attrs, id uint32, k K) {
	e := &a.list[id]
	if e.refs++; e.many {
		return
	}
	if e.refs > fewMax {
		e.many, e.few4, e.few6 = true, nil, nil
		return
	}
	switch k := any(k).(type) {
	case key4:
		e.few4 = append(e.few4, k)
	case key6:
		e.few6 = append(e.few6, k)
	}
}

// drop takes the route of key k off; the last one frees the entry.
func drop[K hashed[K]](a *attrs, id uint32, k K) {
	e := &a.list[id]
	if e.refs--; e.refs == 0 {
		a.forget(id)
		return
	}
	if e.many {
		return
	}
	switch k := any(k).(type) {
	case key4:
		e.few4 = slices.DeleteFunc(e.few4, func(x key4) bool { return x == k })
	case key6:
		e.few6 = slices.DeleteFunc(e.few6, func(x key6) bool { return x == k })
	}
}

func (a *attrs) forget(id uint32) {
	e := &a.list[id]
	delete(a.canon, e.route)
	for _, s := range e.raws {
		delete(a.raw, s)
		if r := &a.recent[place([]byte(s[headSize:]))]; r.id == id {
			*r = spelling{}
		}
	}
	*e = attr{}
	a.free = append(a.free, id)
}

// template is a route without its key.
func template(r *rtnl.Route) rtnl.Route {
	t := *r
	t.Dst, t.Table, t.Priority, t.TOS = emptyPrefix, 0, 0, 0
	return t
}
