package api

import (
	"slices"

	"netbraid/ubus"
)

// lesser are the fields of devices that an answer about very many of them
// gives last, the least first: settings that a section can make, then link
// modes, then bridge attributes.
var lesser = func() [][]string {
	var settings []string
	for _, f := range sysctlFields {
		settings = append(settings, f.name)
	}
	return [][]string{settings, {"link-advertising", "link-partner-advertising", "link-supported", "flow-control"}, {"bridge-attributes"}}
}()

// split encodes an answer about many devices into as many replies as it needs:
// nearly always one. When it is too long for one message, the first reply has
// every device with as many fields as fit, and those that follow have the other
// fields, under the names of the devices again: who reads only the first has
// all devices, who joins them has everything. Only when not even the fields
// that matter most fit, the devices themselves are spread over the replies.
func split(full ubus.Table) [][]byte {
	if b := full.Encode(); len(b) <= maxReply {
		return [][]byte{b}
	}
	var out []string
	for _, names := range lesser {
		out = append(out, names...)
		first, rest := part(full, out)
		if b := first.Encode(); len(b) <= maxReply {
			return append([][]byte{b}, chunks(rest)...)
		}
	}
	return chunks(full)
}

// part divides the fields of each device into those that are not in names, and
// those that are.
func part(full ubus.Table, names []string) (most, rest ubus.Table) {
	for _, dev := range full {
		t, _ := dev.Value.(ubus.Table)
		var in, not ubus.Table
		for _, f := range t {
			if slices.Contains(names, f.Name) {
				in = append(in, f)
			} else {
				not = append(not, f)
			}
		}
		most = append(most, ubus.Field{Name: dev.Name, Value: not})
		if len(in) > 0 {
			rest = append(rest, ubus.Field{Name: dev.Name, Value: in})
		}
	}
	return most, rest
}

// chunks encodes devices into replies that each fit into a message.
func chunks(devs ubus.Table) (out [][]byte) {
	var b []byte
	for _, d := range devs {
		before := len(b)
		b = ubus.AppendValue(b, d.Name, d.Value)
		if len(b) > maxReply && before > 0 {
			out = append(out, b[:before:before])
			b = slices.Clone(b[before:])
		}
	}
	return append(out, b)
}
