package plan

import (
	"fmt"
	"strconv"
	"strings"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// OpKind is the kind of an operation.
type OpKind uint8

// The operations, each idempotent.
const (
	LinkCreate OpKind = iota
	LinkSet
	LinkDelete
	AddrAdd
	AddrDel
	RouteAdd
	RouteDel
	RuleAdd
	RuleDel
	SysctlSet
	NeighAdd
	NeighDel
)

var opNames = [...]string{"create link", "set link", "delete link", "add address", "delete address",
	"add route", "delete route", "add rule", "delete rule", "set sysctl",
	"add neighbour", "delete neighbour"}

func (k OpKind) String() string { return opNames[k] }

// Reason says why an operation is done.
type Reason uint8

// The reasons.
const (
	ForConfig  Reason = iota // configuration asks for it
	ForDrift                 // somebody changed what was in place
	ForRelease               // nobody asks for it any more: removed, or put back as it was found
)

func (r Reason) String() string { return [...]string{"config", "drift", "release"}[r] }

// The order of operations within one pass: first what others build on, then
// what builds on it; obsolete things go after their successors are in place,
// and links at the very end. The gaps are for what a swap needs around it.
const (
	rankRecreate   = 5
	rankCreate     = 10
	rankSysctl     = 20
	rankLinkSet    = 30
	rankAddrAdd    = 40
	rankRouteAdd   = 50
	rankRuleAdd    = 60
	rankNeighAdd   = 65
	rankRuleDel    = 70
	rankNeighDel   = 72
	rankRouteDel   = 75
	rankAddrDel    = 80
	rankRoutePut   = 85 // routes that go with an address are put back
	rankLinkDown   = 90
	rankSysctlBack = 95
	rankLinkDelete = 99
)

// Op is one operation on one key. Exactly the member that its kind needs is
// set.
type Op struct {
	ID     uint64
	Kind   OpKind
	Reason Reason
	Key    any // LinkKey, model.AddrKey, model.RouteKey, RuleKey, NeighKey or model.SysctlKey
	Owner  string
	Device string // name of the link concerned
	Detail string // which attributes, in words
	// Replace: AddrAdd and RouteAdd may take the place of what has the key.
	Replace bool

	Link   *rtnl.LinkRequest
	Addr   *rtnl.Addr
	Route  *rtnl.Route
	Rule   *rtnl.Rule
	Neigh  *rtnl.Neigh
	Sysctl model.SysctlKey
	Value  string

	rank, depth int
	// outdated: something else is wanted of the key since this went out; if it
	// fails, that says nothing about what is wanted now.
	outdated bool
	// seen: while a LinkSet was in flight the link was observed as it asks.
	seen bool
}

// LinkKey identifies a link by name: what is wanted has a name before it has
// an ifindex.
type LinkKey struct {
	NS   model.NS
	Name string
}

// RuleKey identifies a policy rule: by all that it says.
type RuleKey struct {
	NS   model.NS
	Rule rtnl.Rule
}

// String is the operation as `netbraid plan` prints it.
func (o *Op) String() string {
	name := func(i uint32) string {
		if o.Device != "" {
			return o.Device
		}
		return "if" + strconv.FormatUint(uint64(i), 10)
	}
	var what string
	switch o.Kind {
	case LinkCreate, LinkSet, LinkDelete:
		what = o.Device
		if o.Kind == LinkCreate {
			what += " type " + o.Link.Kind
		}
	case AddrAdd, AddrDel:
		what = strings.TrimPrefix(rtnl.FormatAddr(o.Addr, name), "addr ")
	case RouteAdd, RouteDel:
		what = strings.TrimPrefix(rtnl.FormatRoute(o.Route, name), "route ")
	case RuleAdd, RuleDel:
		what = strings.TrimPrefix(rtnl.FormatRule(o.Rule, name), "rule ")
	case NeighAdd, NeighDel:
		what = strings.TrimPrefix(rtnl.FormatNeigh(o.Neigh, name), "neigh ")
	case SysctlSet:
		what = o.Sysctl.Path(o.Device) + " = " + o.Value
	}
	s := o.Kind.String() + " " + what
	if o.Detail != "" {
		s += " (" + o.Detail + ")"
	}
	if o.Reason != ForConfig {
		s += " [" + o.Reason.String() + "]"
	}
	return s
}

// Result is what became of an operation.
type Result struct {
	ID    uint64
	Err   error  // nil: done
	Value string // SysctlSet: the value read back after the write
}

// Failure is an operation that did not have its effect, as errors[] shows it.
type Failure struct {
	Owner    string
	Code     string // WRITE_FAILED, NOT_KEPT, KEY_TAKEN, FOUGHT, …
	Object   string
	Message  string
	Attempts int
}

func (f Failure) String() string { return fmt.Sprintf("%s: %s: %s", f.Code, f.Object, f.Message) }
