package vpp

import (
	"errors"
	"fmt"
	"slices"
)

// minEtherType is the first EtherType; what is lower is a length there, and for
// us a protocol of OSI.
const minEtherType = 0x600

// punt has linux-cp hand on the frames that are configured. There is no way to
// have it stop.
func (s *session) punt() error {
	if len(s.opt.Punt) == 0 || s.opt.looks {
		return nil
	}
	types, err := s.punted(typeGet, typeGetReply, (*decoder).u16, (*decoder).u16)
	if err != nil {
		return err
	}
	octet := func(d *decoder) uint16 { return uint16(d.u8()) }
	protos, err := s.punted(osiGet, osiGetReply, octet, octet)
	if err != nil {
		return err
	}
	for _, p := range s.opt.Punt {
		if p >= minEtherType && slices.Contains(types, p) || p < minEtherType && slices.Contains(protos, p) {
			continue
		}
		m, reply, what := osiEnable, osiEnableReply, fmt.Sprintf("frames of OSI protocol %#02x to companions", p)
		body := []byte{byte(p)}
		if p >= minEtherType {
			// VPP takes it in the order of its machine, which is little endian
			// wherever it runs.
			m, reply, what = typeEnable, typeEnableReply, fmt.Sprintf("frames of type %#04x to companions", p)
			body = []byte{byte(p), byte(p >> 8)}
		}
		refused, err := s.done(m, reply, body)
		if err != nil {
			return err
		}
		if refused != nil {
			s.warn(fmt.Sprintf("%s: %v", what, explainPunt(refused)))
		}
	}
	return nil
}

// punted reads a list that begins with how many there are.
func (s *session) punted(m, reply message, count, one func(d *decoder) uint16) (list []uint16, err error) {
	d, refused, err := s.call(m, reply, nil)
	if refused != nil || err != nil {
		return nil, err // what is not shown is asked for
	}
	for range count(&d) {
		list = append(list, one(&d))
	}
	return list, d.err
}

func explainPunt(refused error) error {
	switch {
	case errors.Is(refused, invalidRegister):
		return fmt.Errorf("%w: a part of VPP takes them itself; disable its plugin (lldp, lacp)", refused)
	case errors.Is(refused, invalidValue):
		return fmt.Errorf("%w: VPP does not know this type", refused)
	case errors.Is(refused, featureDisabled):
		return fmt.Errorf("%w: load plugin osi_plugin.so (startup.conf: plugins { plugin osi_plugin.so { enable } })", refused)
	}
	return refused
}
