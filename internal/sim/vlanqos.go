package sim

import (
	"slices"
	"strings"
)

// qosMaps are the priority maps of a VLAN: of each priority in a received tag
// the packet's, and of packets' priorities the tag's.
type qosMaps struct {
	ingress [8]uint32
	egress  [16][]qosMapping // hashed by from, newest first
}

// qosMapping is struct ifla_vlan_qos_mapping, of which a request and an answer
// have a sequence.
type qosMapping struct{ from, to uint32 }

const qosMappingLen = 8

func qosMappings(s string) (ms []qosMapping) {
	for ; len(s) >= qosMappingLen; s = s[qosMappingLen:] {
		b := []byte(s[:qosMappingLen])
		ms = append(ms, qosMapping{native.Uint32(b), native.Uint32(b[4:])})
	}
	return ms
}

func (m qosMapping) String() string {
	return string(native.AppendUint32(native.AppendUint32(nil, m.from), m.to))
}

// setIngress is vlan_dev_set_ingress_priority.
func (q *qosMaps) setIngress(s string) {
	for _, m := range qosMappings(s) {
		q.ingress[m.from&7] = m.to
	}
}

// setEgress is vlan_dev_set_egress_priority.
func (q *qosMaps) setEgress(s string) {
	for _, m := range qosMappings(s) {
		m.to &= 7
		row := &q.egress[m.from&15]
		if at := slices.IndexFunc(*row, func(o qosMapping) bool { return o.from == m.from }); at >= 0 {
			(*row)[at] = m
		} else {
			*row = slices.Insert(*row, 0, m)
		}
	}
}

func (q *qosMaps) showIngress() string {
	var b strings.Builder
	for from, to := range q.ingress {
		if to != 0 {
			b.WriteString(qosMapping{uint32(from), to}.String())
		}
	}
	return b.String()
}

func (q *qosMaps) showEgress() string {
	var b strings.Builder
	for _, row := range q.egress {
		for _, m := range row {
			if m.to != 0 {
				b.WriteString(m.String())
			}
		}
	}
	return b.String()
}
