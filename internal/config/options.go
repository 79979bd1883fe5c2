package config

import (
	"maps"
	"slices"
)

// Type is the type of a protocol's own option, numbered as blobmsg does and as
// protocol scripts say in their description.
type Type uint8

// The types of options.
const (
	TypeArray  Type = 1
	TypeString Type = 3
	TypeInt    Type = 5
	TypeBool   Type = 7
)

// Proto is what the configuration must know of a protocol.
type Proto struct {
	// ForceLink is what option force_link is when it is not given.
	ForceLink bool
	// Options are the protocol's own options.
	Options map[string]Type
}

// Options is what parsing needs to know from outside the file. The zero value
// knows the built-in protocols static and none and the kernel's table names.
type Options struct {
	// Protos are the known protocols besides the built-in ones.
	Protos map[string]Proto
	// RouteTable looks up a name of rt_tables; nil knows none.
	RouteTable func(name string) (uint32, bool)
	// RouteProto looks up a name of rt_protos; nil knows none.
	RouteProto func(name string) (uint8, bool)
	// Aliases are names that may stand behind @ besides those of the sections:
	// interfaces and aliases that somebody has added at run time.
	Aliases map[string]bool
}

// builtin are the protocols that need no handler from outside. The options of
// static are in the table of options.
var builtin = map[string]Proto{"static": {ForceLink: true}, "none": {}}

// proto finds a protocol by name.
func (o *Options) proto(name string) (Proto, bool) {
	if p, ok := builtin[name]; ok {
		return p, true
	}
	p, ok := o.Protos[name]
	return p, ok
}

// protoNames lists the known protocols for a message.
func (o *Options) protoNames() []string {
	names := slices.Collect(maps.Keys(builtin))
	for n := range o.Protos {
		if _, dup := builtin[n]; !dup {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names
}

// table resolves the number or name of a routing table.
func (o *Options) table(s string) (uint32, bool) {
	switch s {
	case "prelocal":
		return 128, true
	case "default":
		return 253, true
	case "main":
		return 254, true
	case "local":
		return 255, true
	}
	if n, ok := parseInt(s); ok {
		return uint32(n), n >= 0 && n <= 0xffffffff
	}
	if o.RouteTable == nil {
		return 0, false
	}
	return o.RouteTable(s)
}

// routeProto resolves the number or name of a route's protocol.
func (o *Options) routeProto(s string) (uint8, bool) {
	switch s {
	case "unspec":
		return 0, true
	case "redirect":
		return 1, true
	case "kernel":
		return 2, true
	case "boot":
		return 3, true
	case "static":
		return 4, true
	}
	if n, ok := parseInt(s); ok {
		return uint8(n), n >= 0 && n <= 255
	}
	if o.RouteProto == nil {
		return 0, false
	}
	return o.RouteProto(s)
}
