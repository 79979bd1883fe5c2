package ovsdb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// system is what an empty type of a datapath or an interface means.
const system = "system"

func compare(a, b string) int { return strings.Compare(a, b) }

// optional is an optional string: none for "".
func optional(s string) rfc7047.Value {
	if s == "" {
		return rfc7047.Value{}
	}
	return rfc7047.Str(s)
}

// bridgeCells are the columns of a bridge that are ours as a whole.
func bridgeCells(w *model.Switch) []rfc7047.Cell {
	return []rfc7047.Cell{
		{Column: "datapath_type", Value: rfc7047.Str(w.DatapathType)},
		{Column: "fail_mode", Value: optional(w.FailMode)},
		{Column: "stp_enable", Value: rfc7047.Bool(w.STP)},
		{Column: "rstp_enable", Value: rfc7047.Bool(w.RSTP)},
	}
}

const ageingKey = "mac-aging-time" // in other_config of a bridge

// ageing is what that key has; empty for none.
func ageing(w *model.Switch) string {
	if w.Ageing == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(w.Ageing), 10)
}

// portCells are the columns of a port that are ours.
func portCells(w *model.SwitchPort) []rfc7047.Cell {
	var tag rfc7047.Value
	if w.Tag != 0 {
		tag = rfc7047.Int(int64(w.Tag))
	}
	trunks := make([]int64, 0, len(w.Trunks))
	for _, t := range w.Trunks {
		trunks = append(trunks, int64(t))
	}
	return []rfc7047.Cell{
		{Column: "tag", Value: tag},
		{Column: "trunks", Value: rfc7047.Ints(trunks...)},
		{Column: "vlan_mode", Value: optional(w.VLANMode)},
		{Column: "bond_mode", Value: optional(w.BondMode)},
		{Column: "lacp", Value: optional(w.LACP)},
	}
}

// ifaceCells are the columns of each interface of a port that are ours; its
// options are besides.
func ifaceCells(w *model.SwitchPort) []rfc7047.Cell {
	var number rfc7047.Value
	if w.Number != 0 {
		number = rfc7047.Int(int64(w.Number))
	}
	return []rfc7047.Cell{
		{Column: "type", Value: rfc7047.Str(w.Type)},
		{Column: "ofport_request", Value: number},
	}
}

// options are the options of each interface of a port.
func options(w *model.SwitchPort) rfc7047.Value {
	pairs := make([]string, 0, 2*len(w.Options))
	for _, o := range w.Options {
		pairs = append(pairs, o.Key, o.Value)
	}
	return rfc7047.Map(pairs...)
}

// members are the names of the interfaces of a port.
func members(w *model.SwitchPort) []string {
	if len(w.Members) == 0 {
		return []string{w.Name}
	}
	return w.Members
}

// checker collects why the database would refuse what is wanted.
type checker struct {
	schema *rfc7047.Schema
	err    error
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *checker) cells(table string, cells ...rfc7047.Cell) {
	for _, cell := range cells {
		col := c.schema.Tables[table].Columns[cell.Column]
		if col == nil {
			if len(cell.Value.Keys) > 0 && cell.Value.Text() != "false" && cell.Value.Text() != "" {
				c.fail("this ovsdb-server (schema %s) knows no %s", c.schema.Version, cell.Column)
			}
			continue
		}
		if err := col.Type.Check(cell.Value); err != nil {
			c.fail("%s: %v", cell.Column, err)
		}
	}
}

// checkSwitch says why w cannot be a bridge; its ports are not looked at.
func checkSwitch(s *rfc7047.Schema, w *model.Switch) error {
	c := checker{schema: s}
	switch {
	case w.Name == "" || len(w.Name) > 15 || strings.ContainsAny(w.Name, "/ "):
		// ovs-vswitchd ignores such a bridge without a word in the database.
		c.fail("%q cannot be the name of a bridge: it is the name of a device as well, 1 to 15 octets without / and blanks", w.Name)
	case w.Ageing != 0 && (w.Ageing < 15 || w.Ageing > 3600):
		c.fail("ageing time %d: ovs-vswitchd takes 15 to 3600 seconds", w.Ageing)
	}
	c.cells("Bridge", bridgeCells(w)...)
	c.cells("Bridge", rfc7047.Cell{Column: "name", Value: rfc7047.Str(w.Name)})
	if a := ageing(w); a != "" {
		c.cells("Bridge", rfc7047.Cell{Column: "other_config", Value: rfc7047.Map(ageingKey, a)})
	}
	if len(w.Controllers) > 0 && (s.Tables["Controller"] == nil || s.Tables["Bridge"].Columns["controller"] == nil) {
		c.fail("this ovsdb-server (schema %s) knows no controllers", s.Version)
		return c.err
	}
	for _, t := range w.Controllers {
		c.cells("Controller", rfc7047.Cell{Column: "target", Value: rfc7047.Str(t)})
	}
	return c.err
}

// checkPort says why w cannot be a port.
func checkPort(s *rfc7047.Schema, w *model.SwitchPort) error {
	c := checker{schema: s}
	names := members(w)
	sorted := slices.Sorted(slices.Values(names))
	switch {
	case w.Name == "" || slices.Contains(names, ""):
		c.fail("a port without a name")
	case len(slices.Compact(sorted)) != len(names):
		c.fail("a device is a member twice")
	case len(names) > 1 && w.Number != 0:
		c.fail("port number %d: a bond has one for each member", w.Number)
	}
	c.cells("Port", portCells(w)...)
	c.cells("Interface", ifaceCells(w)...)
	c.cells("Interface", rfc7047.Cell{Column: "options", Value: options(w)})
	for _, n := range append(names, w.Name) {
		c.cells("Port", rfc7047.Cell{Column: "name", Value: rfc7047.Str(n)})
	}
	return c.err
}
