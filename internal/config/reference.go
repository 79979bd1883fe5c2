package config

import (
	"fmt"
	"strings"
)

// groups are all options, in the order of the reference.
var groups = []*group{globalOptions, deviceSection, deviceOptions, bridgeOptions, vlanOptions, macvlanOptions, vethOptions, switchOptions, vportOptions,
	interfaceOptions, staticOptions, routeOptions, neighborOptions, mirrorOptions, dataplaneOptions, pairOptions}

var kindNames = map[kind]string{text: "text", yesno: "yes or no", number: "number", list: "list", macaddr: "address", word: "word", table: "table", linkname: "name"}

// Reference writes the table that the parser works from as Markdown: every
// option with its type, what is allowed, its default and its meaning.
func Reference() string {
	var b strings.Builder
	for _, g := range groups {
		fmt.Fprintf(&b, "## %s\n\n%s\n\n| option | type | allowed | default | meaning |\n|---|---|---|---|---|\n", g.name, g.intro)
		for i := range g.specs {
			s := &g.specs[i]
			if s.later {
				continue
			}
			allowed := s.allowed()
			if s.kind == yesno {
				allowed = "0, 1"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", s.name, kindNames[s.kind], cell(allowed), cell(s.def), cell(s.meaning))
		}
		var later []string
		for i := range g.specs {
			if g.specs[i].later {
				later = append(later, "`"+g.specs[i].name+"`")
			}
		}
		if later != nil {
			fmt.Fprintf(&b, "\nKnown, checked, not built yet (a warning says so): %s.\n", strings.Join(later, ", "))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "Yes and no may be written %s.\n", allowBool)
	return b.String()
}

// cell makes text fit for a cell of a table.
func cell(s string) string {
	if s == "" {
		return "–"
	}
	return strings.ReplaceAll(s, "|", "\\|")
}
