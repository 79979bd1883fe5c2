package api

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
	"netbraid/ubus"
)

// Stats are the counters of a link in the order of struct rtnl_link_stats64
// (linux/if_link.h), as far as every kernel has them.
type Stats [23]uint64

// counters names the fields of status in netifd's order, each with its place
// in Stats.
var counters = [len(Stats{})]struct {
	name string
	at   int
}{
	{"collisions", 9}, {"rx_frame_errors", 13}, {"tx_compressed", 22}, {"multicast", 8}, {"rx_length_errors", 10},
	{"tx_dropped", 7}, {"rx_bytes", 2}, {"rx_missed_errors", 15}, {"tx_errors", 5}, {"rx_compressed", 21},
	{"rx_over_errors", 11}, {"tx_fifo_errors", 18}, {"rx_crc_errors", 12}, {"rx_packets", 0}, {"tx_heartbeat_errors", 19},
	{"rx_dropped", 6}, {"tx_aborted_errors", 16}, {"tx_packets", 1}, {"rx_errors", 4}, {"tx_bytes", 3},
	{"tx_window_errors", 20}, {"rx_fifo_errors", 14}, {"tx_carrier_errors", 17},
}

func (s *Stats) fields() ubus.Table {
	t := make(ubus.Table, 0, len(counters))
	for _, c := range counters {
		t = append(t, ubus.Field{Name: c.name, Value: int64(s[c.at])})
	}
	return t
}

const (
	statsHeader   = 12 // struct if_stats_msg
	statsLink64   = 1  // IFLA_STATS_LINK_64
	statsFilter64 = 1 << (statsLink64 - 1)
)

// statsRequest is an RTM_GETSTATS for the counters of all links.
func statsRequest() []byte {
	b := make([]byte, unix.SizeofNlMsghdr+statsHeader)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_GETSTATS)
	binary.NativeEndian.PutUint32(b[unix.SizeofNlMsghdr+8:], statsFilter64)
	return b
}

// decodeStats reads the answers in a datagram.
func decodeStats(b []byte, out map[uint32]*Stats) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return err
		}
		b = rest
		if h.Type != unix.RTM_NEWSTATS || len(body) < statsHeader {
			continue
		}
		if s := linkStats(body[statsHeader:]); s != nil {
			out[binary.NativeEndian.Uint32(body[4:])] = s
		}
	}
	return nil
}

// linkStats finds IFLA_STATS_LINK_64 among attributes.
func linkStats(attrs []byte) *Stats {
	for len(attrs) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(attrs))
		typ := binary.NativeEndian.Uint16(attrs[2:])
		if n < unix.SizeofRtAttr || n > len(attrs) {
			return nil
		}
		val := attrs[unix.SizeofRtAttr:n]
		if typ == statsLink64 && len(val) >= len(Stats{})*8 {
			s := &Stats{}
			for i := range s {
				s[i] = binary.NativeEndian.Uint64(val[i*8:])
			}
			return s
		}
		attrs = attrs[min((n+3)&^3, len(attrs)):]
	}
	return nil
}
