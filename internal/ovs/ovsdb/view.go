package ovsdb

import (
	"fmt"
	"maps"
	"slices"

	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// The tables and columns that are followed. Statistics are not: they change
// every five seconds.
var columns = map[string][]string{
	"Open_vSwitch": {"bridges", "cur_cfg", "next_cfg", "datapath_types", "iface_types"},
	"Bridge":       {"name", "ports", "datapath_type", "fail_mode", "controller", "stp_enable", "rstp_enable", "other_config", "external_ids"},
	"Port":         {"name", "interfaces", "tag", "trunks", "vlan_mode", "bond_mode", "lacp", "external_ids"},
	"Interface":    {"name", "type", "options", "ofport", "ofport_request", "error", "ifindex", "mac_in_use", "external_ids"},
	"Controller":   {"target", "external_ids"},
}

// needed are the columns without which nothing can be done.
var needed = map[string][]string{
	"Open_vSwitch": {"bridges", "cur_cfg", "next_cfg"},
	"Bridge":       {"name", "ports", "external_ids"},
	"Port":         {"name", "interfaces", "external_ids"},
	"Interface":    {"name", "type", "options", "ofport", "external_ids"},
}

// checkSchema says what the database lacks.
func checkSchema(r *rfc7047.Replica) error {
	for _, table := range slices.Sorted(maps.Keys(needed)) {
		for _, c := range needed[table] {
			if !r.Has(table, c) {
				return fmt.Errorf("its database Open_vSwitch (schema %s) has no %s.%s", r.Schema.Version, table, c)
			}
		}
	}
	return nil
}

// markKey is the key in external_ids that says who made a row.
const markKey = "netbraid"

// view is a replica with what a plan looks up.
type view struct {
	*rfc7047.Replica
	id       string // of our marks
	root     string // the row of Open_vSwitch; empty while there is none
	bridges  map[string]string
	ports    map[string]string
	ifaces   map[string]string
	bridgeOf map[string]string // by port
	portOf   map[string]string // by interface
}

func newView(r *rfc7047.Replica, id string) *view {
	v := &view{Replica: r, id: id, bridges: byName(r.Table("Bridge")), ports: byName(r.Table("Port")), ifaces: byName(r.Table("Interface"))}
	for uuid := range r.Table("Open_vSwitch") {
		v.root = uuid // there is one at most
	}
	v.bridgeOf = holders(r.Table("Bridge"), "ports")
	v.portOf = holders(r.Table("Port"), "interfaces")
	return v
}

func byName(rows map[string]rfc7047.Row) map[string]string {
	m := make(map[string]string, len(rows))
	for uuid, row := range rows {
		m[row.Text("name")] = uuid
	}
	return m
}

// holders tells which row refers to each.
func holders(rows map[string]rfc7047.Row, column string) map[string]string {
	m := map[string]string{}
	for uuid, row := range rows {
		for _, a := range row[column].Keys {
			m[a.Str] = uuid
		}
	}
	return m
}

// mine tells whether we made a row.
func (v *view) mine(table, uuid string) bool {
	id, ok := v.Table(table)[uuid]["external_ids"].Get(markKey)
	return ok && id == v.id
}

// get is a column of a row, its default when it is not mentioned.
func (v *view) get(table, uuid, column string) rfc7047.Value {
	if val := v.Table(table)[uuid][column]; len(val.Keys) > 0 || !v.Has(table, column) {
		return val
	}
	return v.Schema.Tables[table].Columns[column].Type.Default()
}

// name is the name of a row.
func (v *view) name(table, uuid string) string { return v.Table(table)[uuid].Text("name") }

// config gives what was asked of ovs-vswitchd and what it has done.
func (v *view) config() (next, cur int64) {
	row := v.Table("Open_vSwitch")[v.root]
	next, _ = row.Int("next_cfg")
	cur, _ = row.Int("cur_cfg")
	return next, cur
}

// sorted lists the rows of a table that keep says, by name.
func (v *view) sorted(table string, keep func(uuid string) bool) []string {
	var list []string
	for uuid := range v.Table(table) {
		if keep(uuid) {
			list = append(list, uuid)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		if c := compare(v.name(table, a), v.name(table, b)); c != 0 {
			return c
		}
		return compare(a, b)
	})
	return list
}
