package vpptest

import (
	"math/bits"
	"slices"
)

// etherTypes are those that VPP knows, and whether it handles them itself.
var etherTypes = map[uint16]bool{0x0800: true, 0x0806: true, 0x86dd: true, 0x8847: true, 0x8809: false, 0x88cc: false, 0x888e: false}

// enableType has linux-cp hand on frames of a type. VPP takes the number in the
// order of its own machine.
func enableType(c *conn, r *request) {
	typ := bits.ReverseBytes16(r.u16())
	own, known := etherTypes[typ]
	switch {
	case !known:
		c.s.strict("frames of type %#x, which VPP does not know", typ)
		c.answer(r, rvInvalid)
		return
	case own:
		c.answer(r, rvRegistration)
		return
	case !slices.Contains(c.s.st.types, typ):
		c.s.st.types = append(c.s.st.types, typ)
	}
	c.answer(r, 0)
}

func getTypes(c *conn, r *request) {
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).u16(uint16(len(c.s.st.types)))
	for _, t := range c.s.st.types {
		c.u16(t)
	}
	c.end()
}

func enableOSI(c *conn, r *request) {
	proto := r.u8()
	if !c.s.opt.OSI {
		c.answer(r, rvDisabled)
		return
	}
	if !slices.Contains(c.s.st.osi, proto) {
		c.s.st.osi = append(c.s.st.osi, proto)
	}
	c.answer(r, 0)
}

func getOSI(c *conn, r *request) {
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).u8(uint8(len(c.s.st.osi))).raw(c.s.st.osi).end()
}

// Punted lists the types of frames and the protocols of OSI that linux-cp hands
// on.
func (s *Server) Punted() (types []uint16, osi []uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.st.types)), slices.Sorted(slices.Values(s.st.osi))
}
