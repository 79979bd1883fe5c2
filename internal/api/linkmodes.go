package api

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"netbraid/ubus"
)

// LinkSettings are what a driver says about the wire (ETHTOOL_GLINKSETTINGS,
// ETHTOOL_GPAUSEPARAM).
type LinkSettings struct {
	Speed                           uint32 // Mbit/s; 0 or 0xffffffff unknown
	Half, Autoneg                   bool
	Supported, Advertising, Partner modeMask
	PauseAutoneg, RxPause, TxPause  bool
	names                           modeNames
}

// modeMask is a set of link modes, as ethtool's words.
type modeMask []uint32

func (m modeMask) has(bit int) bool {
	return bit >= 0 && bit/32 < len(m) && m[bit/32]&(1<<(bit%32)) != 0
}

// The bits of enum ethtool_link_mode_bit_indices that are no mode.
const (
	bitPause     = 13
	bitAsymPause = 14
)

// mode is a link mode with the bits of its duplexes, -1 for none.
type mode struct {
	speed      int
	name       string // "1000baseT"
	half, full int
}

// modeNames are all modes in netifd's order: by speed, then those with both
// duplexes before full before half, then by name.
type modeNames []mode

// parseModes orders the kernel's names of link modes ("1000baseT/Full"), each
// at the place of its bit.
func parseModes(names []string) modeNames {
	var out modeNames
	at := map[string]int{}
	for bit, n := range names {
		name, duplex, ok := strings.Cut(n, "/")
		speed, rest, isMode := strings.Cut(name, "base")
		mbit, err := strconv.Atoi(speed)
		if !ok || !isMode || err != nil || rest == "" || duplex != "Half" && duplex != "Full" {
			continue
		}
		i, there := at[name]
		if !there {
			i = len(out)
			at[name] = i
			out = append(out, mode{mbit, name, -1, -1})
		}
		if duplex == "Half" {
			out[i].half = bit
		} else {
			out[i].full = bit
		}
	}
	slices.SortStableFunc(out, func(a, b mode) int {
		return cmp.Or(cmp.Compare(a.speed, b.speed), cmp.Compare(a.kind(), b.kind()), strings.Compare(a.name, b.name))
	})
	return out
}

func (m mode) kind() int {
	switch {
	case m.half >= 0 && m.full >= 0:
		return 0
	case m.full >= 0:
		return 1
	}
	return 2
}

func (n modeNames) list(m modeMask) ubus.Array {
	out := ubus.Array{}
	for _, x := range n {
		if m.has(x.half) {
			out = append(out, x.name+"-H")
		}
		if m.has(x.full) {
			out = append(out, x.name+"-F")
		}
	}
	return out
}

func pauseModes(m modeMask) ubus.Array {
	out := ubus.Array{}
	if m.has(bitPause) {
		out = append(out, "pause")
	}
	if m.has(bitAsymPause) {
		out = append(out, "asym_pause")
	}
	return out
}

func direction(rx, tx bool) ubus.Array {
	out := ubus.Array{}
	if rx {
		out = append(out, "rx")
	}
	if tx {
		out = append(out, "tx")
	}
	return out
}

const speedUnknown = 0xffffffff

// fields are the part of `network.device status` about the wire.
func (s *LinkSettings) fields() ubus.Table {
	t := ubus.Table{
		{Name: "link-advertising", Value: s.names.list(s.Advertising)},
		{Name: "link-partner-advertising", Value: s.names.list(s.Partner)},
		{Name: "link-supported", Value: s.names.list(s.Supported)},
	}
	if s.Speed != 0 && s.Speed != speedUnknown {
		duplex := "F"
		if s.Half {
			duplex = "H"
		}
		t = append(t, ubus.Field{Name: "speed", Value: strconv.FormatUint(uint64(s.Speed), 10) + duplex})
	}
	fc := ubus.Table{{Name: "autoneg", Value: s.PauseAutoneg}, {Name: "supported", Value: pauseModes(s.Supported)}}
	add := func(name string, v ubus.Array) { fc = append(fc, ubus.Field{Name: name, Value: v}) }
	if s.PauseAutoneg {
		add("link-advertising", pauseModes(s.Advertising))
	}
	add("link-partner-advertising", pauseModes(s.Partner))
	if s.PauseAutoneg {
		add("negotiated", direction(s.negotiated()))
	} else {
		add("selected", direction(s.RxPause, s.TxPause))
	}
	return append(t, ubus.Field{Name: "autoneg", Value: s.Autoneg}, ubus.Field{Name: "flow-control", Value: fc})
}

// negotiated tells in which directions both sides have agreed on pause frames
// (IEEE 802.3-2022, table 28B-3).
func (s *LinkSettings) negotiated() (rx, tx bool) {
	pause, asym := s.Advertising.has(bitPause), s.Advertising.has(bitAsymPause)
	theirs, theirsAsym := s.Partner.has(bitPause), s.Partner.has(bitAsymPause)
	switch {
	case pause && theirs:
		return true, true
	case !asym || !theirsAsym:
		return false, false
	case pause:
		return true, false
	case theirs:
		return false, true
	}
	return false, false
}
