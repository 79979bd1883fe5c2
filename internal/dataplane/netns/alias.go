package netns

import (
	"fmt"
	"strconv"
	"strings"

	"netbraid/rtnl"
)

// What is ours is marked by the alias of a link of the forwarding namespace, so
// that it is known again: text that anybody could have written, and so parsed
// with care.
const (
	aliasPort  = "netbraid pair "  // + phy, companion, file of its namespace: the dataplane's end of a pair
	aliasSub   = "netbraid sub "   // + companion, made or found, file: a sub-interface that has a companion
	aliasTable = "netbraid table " // + families: a VRF that was made for a table
	aliasOuter = "netbraid outer"  // carries the outer tag of double-tagged frames
	aliasShown = "netbraid shown"  // is a sub-interface, whatever its name
)

// What carries outer tags is known by its name until it has its alias.
const (
	prefixOuter = "nbo"
	prefixTwin  = "nbp"
)

// portAlias is what the alias of the dataplane's end of a pair says.
type portAlias struct {
	phy   uint32
	host  string
	netns string
}

func (a portAlias) String() string {
	return fmt.Sprintf("%s%d %s %s", aliasPort, a.phy, a.host, a.netns)
}

func parsePortAlias(s string) (a portAlias, ok bool) {
	rest, ok := strings.CutPrefix(s, aliasPort)
	index, rest, ok2 := strings.Cut(rest, " ")
	host, netns, ok3 := strings.Cut(rest, " ")
	n, err := strconv.ParseUint(index, 10, 31)
	if !ok || !ok2 || !ok3 || err != nil || n == 0 || !validName(host) {
		return portAlias{}, false
	}
	return portAlias{uint32(n), host, netns}, true
}

// subAlias is what the alias of a sub-interface with a companion says.
type subAlias struct {
	host  string
	found bool // the companion was there before
	netns string
}

func (a subAlias) String() string {
	how := "made"
	if a.found {
		how = "found"
	}
	return fmt.Sprintf("%s%s %s %s", aliasSub, a.host, how, a.netns)
}

func parseSubAlias(s string) (a subAlias, ok bool) {
	rest, ok := strings.CutPrefix(s, aliasSub)
	host, rest, ok2 := strings.Cut(rest, " ")
	how, netns, ok3 := strings.Cut(rest, " ")
	if !ok || !ok2 || !ok3 || !validName(host) || how != "made" && how != "found" {
		return subAlias{}, false
	}
	return subAlias{host, how == "found", netns}, true
}

// tableAlias says for which families a VRF was made.
func tableAlias(four, six bool) string {
	s := aliasTable
	if four {
		s += "4"
	}
	if six {
		s += "6"
	}
	return s
}

func parseTableAlias(s string) (four, six bool) {
	rest, ok := strings.CutPrefix(s, aliasTable)
	return ok && strings.Contains(rest, "4"), ok && strings.Contains(rest, "6")
}

// maxName is the longest name of a link (IFNAMSIZ, less the zero).
const maxName = 15

// validName tells what the kernel takes as the name of a link (dev_valid_name),
// without a percent sign, which asks for a number.
func validName(s string) bool {
	if s == "" || len(s) > maxName || s == "." || s == ".." {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return r == '/' || r == ':' || r == '%' || r <= ' ' || r >= 0x7f })
}

// fits tells whether an alias can be kept.
func fits(alias string) error {
	if len(alias) > rtnl.MaxAlias {
		return fmt.Errorf("the file of the namespace has too long a name")
	}
	return nil
}
