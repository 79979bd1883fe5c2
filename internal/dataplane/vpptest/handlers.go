package vpptest

import (
	"fmt"
	"slices"
	"strings"
)

// handlers are the messages that this server answers, by name.
var handlers = map[string]handler{
	"sockclnt_create":                         create,
	"sockclnt_delete":                         deleteClient,
	"control_ping":                            func(c *conn, r *request) { c.answer(r, 0, r.client, c.s.opt.PID) },
	"memclnt_keepalive":                       func(c *conn, r *request) { c.s.strict("memclnt_keepalive: VPP has no answer") },
	"api_versions":                            func(c *conn, r *request) { c.answer(r, 0, 0) },
	"get_first_msg_id":                        firstID,
	"show_version":                            showVersion,
	"sw_interface_dump":                       dumpInterfaces,
	"want_interface_events":                   wantInterfaceEvents,
	"sw_interface_set_flags":                  on(setFlags),
	"sw_interface_set_mtu":                    on(setMTU),
	"hw_interface_set_mtu":                    on(setHWMTU),
	"sw_interface_set_mac_address":            on(setMAC),
	"sw_interface_get_mac_address":            on(getMAC),
	"sw_interface_set_interface_name":         on(setName),
	"sw_interface_tag_add_del":                setTag,
	"sw_interface_set_table":                  on(setTable),
	"sw_interface_get_table":                  getTable,
	"create_loopback":                         createLoopback,
	"create_loopback_instance":                createLoopback,
	"delete_loopback":                         on(deleteLoopback),
	"af_packet_create_v3":                     afPacket,
	"af_packet_delete":                        afPacketDelete,
	"tap_create_v3":                           createTap,
	"tap_delete_v2":                           on(deleteTap),
	"create_subif":                            onNew(createSub),
	"create_vlan_subif":                       onNew(createVLAN),
	"delete_subif":                            on(deleteSub),
	"sw_interface_add_del_address":            address,
	"ip_address_dump":                         dumpAddresses,
	"ip_dump":                                 dumpIP,
	"sw_interface_ip6_get_link_local_address": on(getLinkLocal),
	"ip_table_add_del":                        addDelTable,
	"ip_table_add_del_v2":                     addDelTable,
	"ip_table_dump":                           dumpTables,
	"ip_table_flush":                          flushTable,
	"ip_mroute_add_del":                       addDelMroute,
	"ip_mroute_dump":                          dumpMroutes,
	"sw_interface_ip4_enable_disable":         on(enableIP(0)),
	"sw_interface_ip6_enable_disable":         on(enableIP(1)),
	"cli_inband":                              cli,
	"ip_route_add_del":                        routeV1,
	"ip_route_add_del_v2":                     routeV2,
	"ip_route_dump":                           dumpRoutes(false),
	"ip_route_v2_dump":                        dumpRoutes(true),
	"ip_route_lookup":                         lookupRoute(false),
	"ip_route_lookup_v2":                      lookupRoute(true),
	"fib_source_add":                          addSource,
	"fib_source_dump":                         dumpSources,
	"ip_neighbor_add_del":                     addDelNeigh,
	"ip_neighbor_dump":                        dumpNeighs,
	"ip_neighbor_flush":                       flushNeighs,
	"want_ip_neighbor_events_v2":              wantNeighEvents,
	"mpls_table_add_del":                      addDelMPLSTable,
	"mpls_table_dump":                         dumpMPLSTables,
	"mpls_interface_dump":                     dumpMPLSInterfaces,
	"sw_interface_set_mpls_enable":            on(enableMPLS),
	"mpls_route_add_del":                      mplsRoute,
	"mpls_route_dump":                         dumpMPLSRoutes,
	"mpls_ip_bind_unbind":                     bindLabel,
	"lcp_default_ns_get":                      getNS,
	"lcp_default_ns_set":                      setNS,
	"lcp_itf_pair_add_del":                    addDelPair,
	"lcp_itf_pair_add_del_v2":                 addDelPair,
	"lcp_itf_pair_add_del_v3":                 addDelPair,
	"lcp_itf_pair_get":                        getPairs,
	"lcp_itf_pair_get_v2":                     getPairs,
	"lcp_ethertype_enable":                    enableType,
	"lcp_ethertype_get":                       getTypes,
	"lcp_osi_proto_enable":                    enableOSI,
	"lcp_osi_proto_get":                       getOSI,
	"lcp_itf_pair_replace_begin":              replaceBegin,
	"lcp_itf_pair_replace_end":                replaceEnd,
}

// onNew is on for requests that answer with an interface.
func onNew(f func(c *conn, r *request, v *vif)) handler {
	return func(c *conn, r *request) {
		v := c.s.st.vif(r.u32())
		if v == nil {
			r.b = nil
			c.answer(r, rvNoInterface, none)
			return
		}
		f(c, r, v)
	}
}

// create makes a client known. A second time nothing changes.
func create(c *conn, r *request) {
	s := c.s
	r.str(64)
	if r.short || len(r.b) > 0 {
		s.strict("sockclnt_create of a wrong length")
		return
	}
	if c.id == 0 {
		s.nextID++
		c.id = 0x80000000 | s.nextID
		s.byID[c.id] = c
	} else {
		s.strict("second sockclnt_create on a connection")
	}
	c.begin("sockclnt_create_reply", 0)
	c.out = c.out[:len(c.out)-4]
	c.u32(0).u32(r.ctx).u32(0).u32(c.id).u16(uint16(len(s.table)))
	for _, n := range s.table {
		c.u16(n.number).str(n.name, 64)
	}
	c.end()
}

func deleteClient(c *conn, r *request) {
	index := r.u32()
	c.begin(r.name+"_reply", r.ctx)
	if c.s.byID[index] == nil {
		c.u32(none).end()
		return
	}
	if index != c.id {
		c.s.fail("sockclnt_delete of another client: VPP answers and dies")
		c.s.st.dead = true
	}
	c.u32(1).end()
}

func firstID(c *conn, r *request) {
	if name := r.str(64); name == "lcp_8b6e5bc7" {
		c.begin(r.name+"_reply", r.ctx)
		c.u32(0).u16(c.s.numbers["lcp_default_ns_set"]).end()
		return
	}
	c.begin(r.name+"_reply", r.ctx)
	rv := int32(rvInvalid)
	c.u32(uint32(rv)).u16(0xffff).end()
}

func showVersion(c *conn, r *request) {
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).str("vpe", 32).str("26.10-rc0~374-gb575ec2c56d", 32).str("2026-11-21T01:13:54", 32).str(c.s.opt.SourceDir, 256).end()
}

func addDelTable(c *conn, r *request) {
	st := c.s.st
	v2 := strings.HasSuffix(r.name, "_v2")
	add := false
	if !v2 {
		add = r.flag()
	}
	id, af, name := r.u32(), r.u8()&1, r.str(64)
	if v2 {
		if !r.flag() {
			c.s.strict("a table without one for multicast: no interface can be bound to it")
		}
		add = r.flag()
	}
	if r.short {
		return
	}
	t := st.table(id, af)
	switch {
	case add && t == nil:
		st.addTable(id, af, name)
	case !add && t != nil && id != 0 && !st.bound(t):
		st.checkEmpty(t)
		st.tables = slices.DeleteFunc(st.tables, func(o *table) bool { return o == t })
		st.mfibs = slices.DeleteFunc(st.mfibs, func(m *mfib) bool { return m.id == id && m.af == af })
	}
	c.answer(r, 0)
}

// checkEmpty reports what VPP leaves behind of a table that is gone: it removes
// only what it and the source API have in it.
func (st *state) checkEmpty(t *table) {
	for d, e := range t.routes {
		for _, e := range append([]entry{e}, t.others[d]...) {
			if e.src > srcDefault {
				st.s.strict("table %d is deleted, and has %v of source %d", t.id, prefix{addr{t.af, d.b}, d.len}, e.src)
			}
		}
	}
}

// bound tells whether an interface keeps a table.
func (st *state) bound(t *table) bool {
	return slices.ContainsFunc(st.vifs, func(v *vif) bool { return v != nil && v.table[t.af] == t.id })
}

func dumpTables(c *conn, r *request) {
	for _, t := range c.s.st.tables {
		name := t.name
		if name == "" {
			name = fmt.Sprintf("ipv%d-VRF:%d", 4+2*t.af, t.id)
		}
		c.begin("ip_table_details", r.ctx)
		c.u32(t.id).u8(t.af).str(name, 64).end()
	}
}

// flushTable removes what the API source has.
func flushTable(c *conn, r *request) {
	id, af := r.u32(), r.u8()
	r.str(64)
	if t := c.s.st.table(id, af); t != nil {
		for d := range t.routes {
			c.s.st.drop(t, d, srcAPI)
		}
	}
	c.answer(r, 0)
}

func addSource(c *conn, r *request) {
	st := c.s.st
	priority := r.u8()
	r.u8()
	name := r.str(64)
	id := uint8(25)
	for _, s := range st.sources {
		if s.name == name {
			st.s.strict("a second source %q", name)
		}
		id = max(id, s.id+1)
	}
	st.sources = append(st.sources, source{priority, id, name})
	c.begin(r.name+"_reply", r.ctx)
	c.u32(0).u8(id).end()
}

func dumpSources(c *conn, r *request) {
	for _, s := range c.s.st.sources {
		c.begin("fib_source_details", r.ctx)
		c.u8(s.priority).u8(s.id).str(s.name, 64).end()
	}
}
