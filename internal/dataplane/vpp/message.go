package vpp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"netbraid/internal/dataplane"
)

// message is one of the messages that we know.
type message uint8

// The messages, each with its answer behind it.
const (
	noMessage message = iota
	sockclntCreate
	sockclntCreateReply
	controlPing
	controlPingReply
	showVersion
	showVersionReply
	swInterfaceDump
	swInterfaceDetails
	wantInterfaceEvents
	wantInterfaceEventsReply
	swInterfaceEvent
	setFlags
	setFlagsReply
	setMTU
	setMTUReply
	hwSetMTU
	hwSetMTUReply
	setMAC
	setMACReply
	addDelAddress
	addDelAddressReply
	setTable
	setTableReply
	getTable
	getTableReply
	createSubif
	createSubifReply
	deleteSubif
	deleteSubifReply
	tableAddDel
	tableAddDelReply
	tableAddDelV2
	tableAddDelV2Reply
	tableDump
	tableDetails
	addressDump
	addressDetails
	linkLocalGet
	linkLocalGetReply
	routeAddDel
	routeAddDelReply
	routeDump
	routeDetails
	routeLookup
	routeLookupReply
	mrouteAddDel
	mrouteAddDelReply
	mrouteDump
	mrouteDetails
	enableIP4
	enableIP4Reply
	enableIP6
	enableIP6Reply
	sourceAdd
	sourceAddReply
	sourceDump
	sourceDetails
	neighAddDel
	neighAddDelReply
	neighDump
	neighDetails
	mplsEnable
	mplsEnableReply
	mplsInterfaceDump
	mplsInterfaceDetails
	mplsTableAddDel
	mplsTableAddDelReply
	mplsTableDump
	mplsTableDetails
	mplsRouteAddDel
	mplsRouteAddDelReply
	mplsRouteDump
	mplsRouteDetails
	pairAddDel
	pairAddDelReply
	pairAddDelV2
	pairAddDelV2Reply
	pairAddDelV3
	pairAddDelV3Reply
	pairGet
	pairGetReply
	pairGetV2
	pairGetV2Reply
	pairDetails
	defaultNSGet
	defaultNSGetReply
	cliInband
	cliInbandReply
	typeEnable
	typeEnableReply
	typeGet
	typeGetReply
	osiEnable
	osiEnableReply
	osiGet
	osiGetReply
	messageEnd
)

// layout identifies a message: its name and the checksum of its fields, as
// VPP's own description of it (*.api.json) has them.
type layout struct{ name, crc, plugin string }

// layouts has the messages. The layout of a message whose checksum is another
// one is not known: it is not sent.
var layouts = [messageEnd]layout{
	sockclntCreate:           {"sockclnt_create", "455fb9c4", "memclnt"},
	sockclntCreateReply:      {"sockclnt_create_reply", "35166268", "memclnt"},
	controlPing:              {"control_ping", "51077d14", "memclnt"},
	controlPingReply:         {"control_ping_reply", "f6b0b8ca", "memclnt"},
	showVersion:              {"show_version", "51077d14", "vpe"},
	showVersionReply:         {"show_version_reply", "c919bde1", "vpe"},
	swInterfaceDump:          {"sw_interface_dump", "aa610c27", "interface"},
	swInterfaceDetails:       {"sw_interface_details", "6c221fc7", "interface"},
	wantInterfaceEvents:      {"want_interface_events", "476f5a08", "interface"},
	wantInterfaceEventsReply: {"want_interface_events_reply", "e8d4e804", "interface"},
	swInterfaceEvent:         {"sw_interface_event", "2d3d95a7", "interface"},
	setFlags:                 {"sw_interface_set_flags", "f5aec1b8", "interface"},
	setFlagsReply:            {"sw_interface_set_flags_reply", "e8d4e804", "interface"},
	setMTU:                   {"sw_interface_set_mtu", "5cbe85e5", "interface"},
	setMTUReply:              {"sw_interface_set_mtu_reply", "e8d4e804", "interface"},
	hwSetMTU:                 {"hw_interface_set_mtu", "e6746899", "interface"},
	hwSetMTUReply:            {"hw_interface_set_mtu_reply", "e8d4e804", "interface"},
	setMAC:                   {"sw_interface_set_mac_address", "c536e7eb", "interface"},
	setMACReply:              {"sw_interface_set_mac_address_reply", "e8d4e804", "interface"},
	addDelAddress:            {"sw_interface_add_del_address", "5463d73b", "interface"},
	addDelAddressReply:       {"sw_interface_add_del_address_reply", "e8d4e804", "interface"},
	setTable:                 {"sw_interface_set_table", "df42a577", "interface"},
	setTableReply:            {"sw_interface_set_table_reply", "e8d4e804", "interface"},
	getTable:                 {"sw_interface_get_table", "2d033de4", "interface"},
	getTableReply:            {"sw_interface_get_table_reply", "a6eb0109", "interface"},
	createSubif:              {"create_subif", "790ca755", "interface"},
	createSubifReply:         {"create_subif_reply", "5383d31f", "interface"},
	deleteSubif:              {"delete_subif", "f9e6675e", "interface"},
	deleteSubifReply:         {"delete_subif_reply", "e8d4e804", "interface"},
	tableAddDel:              {"ip_table_add_del", "0ffdaec0", "ip"},
	tableAddDelReply:         {"ip_table_add_del_reply", "e8d4e804", "ip"},
	tableAddDelV2:            {"ip_table_add_del_v2", "14e5081f", "ip"},
	tableAddDelV2Reply:       {"ip_table_add_del_v2_reply", "e8d4e804", "ip"},
	tableDump:                {"ip_table_dump", "51077d14", "ip"},
	tableDetails:             {"ip_table_details", "c79fca0f", "ip"},
	addressDump:              {"ip_address_dump", "2d033de4", "ip"},
	addressDetails:           {"ip_address_details", "ee29b797", "ip"},
	linkLocalGet:             {"sw_interface_ip6_get_link_local_address", "f9e6675e", "ip"},
	linkLocalGetReply:        {"sw_interface_ip6_get_link_local_address_reply", "d16b7130", "ip"},
	routeAddDel:              {"ip_route_add_del_v2", "521ef330", "ip"},
	routeAddDelReply:         {"ip_route_add_del_v2_reply", "1992deab", "ip"},
	routeDump:                {"ip_route_v2_dump", "d16f72e6", "ip"},
	routeDetails:             {"ip_route_v2_details", "b09aa6c0", "ip"},
	routeLookup:              {"ip_route_lookup_v2", "710d6471", "ip"},
	routeLookupReply:         {"ip_route_lookup_v2_reply", "84cc9e03", "ip"},
	mrouteAddDel:             {"ip_mroute_add_del", "0dd7e790", "ip"},
	mrouteAddDelReply:        {"ip_mroute_add_del_reply", "1992deab", "ip"},
	mrouteDump:               {"ip_mroute_dump", "b9d2e09e", "ip"},
	mrouteDetails:            {"ip_mroute_details", "c5cb23fc", "ip"},
	enableIP4:                {"sw_interface_ip4_enable_disable", "ae6cfcfb", "ip"},
	enableIP4Reply:           {"sw_interface_ip4_enable_disable_reply", "e8d4e804", "ip"},
	enableIP6:                {"sw_interface_ip6_enable_disable", "ae6cfcfb", "ip"},
	enableIP6Reply:           {"sw_interface_ip6_enable_disable_reply", "e8d4e804", "ip"},
	sourceAdd:                {"fib_source_add", "b3ac2aec", "fib"},
	sourceAddReply:           {"fib_source_add_reply", "604fd6f1", "fib"},
	sourceDump:               {"fib_source_dump", "51077d14", "fib"},
	sourceDetails:            {"fib_source_details", "8668acdb", "fib"},
	neighAddDel:              {"ip_neighbor_add_del", "0607c257", "ip_neighbor"},
	neighAddDelReply:         {"ip_neighbor_add_del_reply", "1992deab", "ip_neighbor"},
	neighDump:                {"ip_neighbor_dump", "d817a484", "ip_neighbor"},
	neighDetails:             {"ip_neighbor_details", "e29d79f0", "ip_neighbor"},
	mplsEnable:               {"sw_interface_set_mpls_enable", "ae6cfcfb", "mpls"},
	mplsEnableReply:          {"sw_interface_set_mpls_enable_reply", "e8d4e804", "mpls"},
	mplsInterfaceDump:        {"mpls_interface_dump", "f9e6675e", "mpls"},
	mplsInterfaceDetails:     {"mpls_interface_details", "0b45011c", "mpls"},
	mplsTableAddDel:          {"mpls_table_add_del", "57817512", "mpls"},
	mplsTableAddDelReply:     {"mpls_table_add_del_reply", "e8d4e804", "mpls"},
	mplsTableDump:            {"mpls_table_dump", "51077d14", "mpls"},
	mplsTableDetails:         {"mpls_table_details", "f03ecdc8", "mpls"},
	mplsRouteAddDel:          {"mpls_route_add_del", "8e1d1e07", "mpls"},
	mplsRouteAddDelReply:     {"mpls_route_add_del_reply", "1992deab", "mpls"},
	mplsRouteDump:            {"mpls_route_dump", "935fdefa", "mpls"},
	mplsRouteDetails:         {"mpls_route_details", "9b5043dc", "mpls"},
	pairAddDel:               {"lcp_itf_pair_add_del", "40482b80", "linux_cp"},
	pairAddDelReply:          {"lcp_itf_pair_add_del_reply", "e8d4e804", "linux_cp"},
	pairAddDelV2:             {"lcp_itf_pair_add_del_v2", "40482b80", "linux_cp"},
	pairAddDelV2Reply:        {"lcp_itf_pair_add_del_v2_reply", "39452f52", "linux_cp"},
	pairAddDelV3:             {"lcp_itf_pair_add_del_v3", "40482b80", "linux_cp"},
	pairAddDelV3Reply:        {"lcp_itf_pair_add_del_v3_reply", "c2502663", "linux_cp"},
	pairGet:                  {"lcp_itf_pair_get", "f75ba505", "linux_cp"},
	pairGetReply:             {"lcp_itf_pair_get_reply", "53b48f5d", "linux_cp"},
	pairGetV2:                {"lcp_itf_pair_get_v2", "47250981", "linux_cp"},
	pairGetV2Reply:           {"lcp_itf_pair_get_v2_reply", "53b48f5d", "linux_cp"},
	pairDetails:              {"lcp_itf_pair_details", "8b5481af", "linux_cp"},
	defaultNSGet:             {"lcp_default_ns_get", "51077d14", "linux_cp"},
	defaultNSGetReply:        {"lcp_default_ns_get_reply", "5102feee", "linux_cp"},
	typeEnable:               {"lcp_ethertype_enable", "f893dae1", "linux_cp"},
	typeEnableReply:          {"lcp_ethertype_enable_reply", "e8d4e804", "linux_cp"},
	typeGet:                  {"lcp_ethertype_get", "51077d14", "linux_cp"},
	typeGetReply:             {"lcp_ethertype_get_reply", "db48c31e", "linux_cp"},
	osiEnable:                {"lcp_osi_proto_enable", "bdd70c87", "linux_cp"},
	osiEnableReply:           {"lcp_osi_proto_enable_reply", "e8d4e804", "linux_cp"},
	osiGet:                   {"lcp_osi_proto_get", "51077d14", "linux_cp"},
	osiGetReply:              {"lcp_osi_proto_get_reply", "3b19a287", "linux_cp"},
	cliInband:                {"cli_inband", "f8377302", "vlib"},
	cliInbandReply:           {"cli_inband_reply", "05879051", "vlib"},
}

// A message is one of these.
const (
	isRequest = iota
	isReply
	isDetails
	isEvent
)

var roles = func() (r [messageEnd]uint8) {
	for m := range layouts {
		switch name := layouts[m].name; {
		case strings.HasSuffix(name, "_reply"):
			r[m] = isReply
		case strings.HasSuffix(name, "_details"):
			r[m] = isDetails
		case strings.HasSuffix(name, "_event"):
			r[m] = isEvent
		}
	}
	return r
}()

func (m message) String() string { return layouts[m].name }

// ids are the numbers that one connection gives to the messages; they differ
// from VPP to VPP and with the plugins that it has loaded.
type ids struct {
	number [messageEnd]uint16 // 0: this VPP lacks it, or has another layout
	of     []message          // by number
	other  map[message]string // known by name, with the checksum of another layout
}

// has tells whether all of the messages can be used.
func (t *ids) has(ms ...message) bool {
	for _, m := range ms {
		if t.number[m] == 0 {
			return false
		}
	}
	return true
}

// missing says why one of the messages cannot be used; nil when all can.
func (t *ids) missing(ms ...message) error {
	for _, m := range ms {
		if t.number[m] != 0 {
			continue
		}
		l := layouts[m]
		if crc := t.other[m]; crc != "" {
			return fmt.Errorf("%w: message %s of this VPP has the layout %s, known is %s: use a release of VPP that netbraid knows", dataplane.ErrUnsupported, l.name, crc, l.crc)
		}
		switch l.plugin {
		case "linux_cp":
			return fmt.Errorf("%w: VPP has no message %s: load plugin %s_plugin.so (startup.conf: plugins { plugin %[3]s_plugin.so { enable } })", dataplane.ErrUnsupported, l.name, l.plugin)
		default:
			return fmt.Errorf("%w: VPP has no message %s (part %s): use a newer VPP", dataplane.ErrUnsupported, l.name, l.plugin)
		}
	}
	return nil
}

// in finds the message of a number.
func (t *ids) in(number uint16) message {
	if int(number) < len(t.of) {
		return t.of[number]
	}
	return noMessage
}

// The two numbers that are the same everywhere.
const (
	numberCreate      = 15
	numberCreateReply = 16
)

const tableEntry = 2 + 64

var byName = func() map[string]message {
	m := map[string]message{}
	for i := range layouts {
		m[layouts[i].name] = message(i)
	}
	return m
}()

// encodeCreate appends sockclnt_create, the one request without our index.
func encodeCreate(b []byte, context uint32, name string) []byte {
	start := len(b)
	b = append(b, emptyHeader[:]...)
	b = put32(put16(b, numberCreate), context)
	b = putString(b, name, nameLen)
	endFrame(b, start)
	return b
}

// decodeCreateReply reads sockclnt_create_reply: the index that VPP has given
// us, and the numbers of the messages.
func decodeCreateReply(p []byte) (index uint32, t ids, err error) {
	d := decoder{b: p}
	if n := d.u16(); n != numberCreateReply {
		return 0, t, fmt.Errorf("VPP answers sockclnt_create with message %d, not %d: this is no API socket", n, numberCreateReply)
	}
	d.skip(4 + 4)
	response := int32(d.u32())
	index = d.u32()
	count := int(d.u16())
	table := d.take(count * tableEntry)
	switch {
	case d.err != nil:
		return 0, t, fmt.Errorf("sockclnt_create_reply: %w", d.err)
	case response != 0:
		return 0, t, fmt.Errorf("VPP refuses this client: sockclnt_create: %w", retval(response))
	}
	t.other = map[message]string{}
	for ; len(table) > 0; table = table[tableEntry:] {
		number := binary.BigEndian.Uint16(table)
		name, crc := splitName(table[2:tableEntry])
		m, known := byName[name]
		switch {
		case !known:
		case crc != layouts[m].crc:
			t.other[m] = crc
		default:
			t.number[m] = number
			for len(t.of) <= int(number) {
				t.of = append(t.of, noMessage)
			}
			t.of[number] = m
		}
	}
	if !t.has(controlPing, controlPingReply) {
		return 0, t, errors.New("VPP's table of messages has no control_ping of the known layout")
	}
	return index, t, nil
}

// splitName cuts "<message>_<checksum>", padded with zeros, at its last
// underscore.
func splitName(b []byte) (name, crc string) {
	b, _, _ = bytes.Cut(b, []byte{0})
	s := string(b)
	i := strings.LastIndexByte(s, '_')
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i+1:]
}
