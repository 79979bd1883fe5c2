package config

import (
	"fmt"
	"net/netip"
	"time"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// Config is one complete, typed configuration. It is immutable once made.
type Config struct {
	Globals    Globals
	Devices    []*Device    // sorted by name, one a name
	Interfaces []*Interface // in the order of the file, one a name
	Routes     []*Route     // in the order of the file
	Mirrors    []*Mirror    // in the order of the file, one a namespace
	Neighbors  []*Neighbor  // in the order of the file
	Dataplanes []*Dataplane // in the order of the file, one a name
	Pairs      []*Pair      // in the order of the file, one a name
}

// Pos is where something stands in a configuration file.
type Pos struct {
	File string
	Line int // from 1; 0 unknown
}

// RunTime is the File of what callers of ubus have added at run time.
const RunTime = "ubus"

func (p Pos) String() string {
	if p.File == RunTime {
		return "added at run time"
	}
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Severity tells an error, which refuses a file, from a warning.
type Severity uint8

// The severities.
const (
	Warning Severity = iota
	Error
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	Pos       Pos
	Severity  Severity
	Section   string // "interface lan", "device br-lan"
	Interface string // the interface that shows it in errors[]; empty when none
	Option    string
	Value     string
	Reason    string   // what is wrong, in words
	Allowed   string   // what is allowed, in words; may be empty
	Code      string   // netifd's code where it has one: INVALID_ADDRESS, INVALID_PROTO, …; else INVALID_OPTION
	Data      []string // netifd's data for the code
}

// String is the line that a user reads:
//
//	/etc/config/network:12: interface wan: option ipaddr '300.1.2.3': not an IPv4 address (allowed: a.b.c.d or a.b.c.d/0..32)
func (p Problem) String() string {
	s := p.Pos.String() + ": "
	if p.Severity == Warning {
		s += "warning: "
	}
	if p.Section != "" {
		s += p.Section + ": "
	}
	if p.Option != "" {
		s += fmt.Sprintf("option %s '%s': ", p.Option, p.Value)
	}
	s += p.Reason
	if p.Allowed != "" {
		s += " (allowed: " + p.Allowed + ")"
	}
	return s
}

// Globals is the section `globals`.
type Globals struct {
	ULAPrefix netip.Prefix // invalid when none
	Takeover  bool         // netbraid: claim what is on a device at its first claim
}

// DeviceType names a kind of device in the words of the configuration.
type DeviceType string

// The device types.
const (
	Simple      DeviceType = ""
	Bridge      DeviceType = "bridge"
	VLAN        DeviceType = "8021q"
	SVLAN       DeviceType = "8021ad"
	Veth        DeviceType = "veth"
	MACVLAN     DeviceType = "macvlan"
	OpenVSwitch DeviceType = "openvswitch"
	VPort       DeviceType = "vport"  // a port of an OpenVSwitch
	Tunnel      DeviceType = "tunnel" // only what a protocol handler asks for
)

// Device is a `config device` section, or a device that another section
// implies (legacy `type bridge` in an interface; `eth0.5`).
type Device struct {
	Name     string
	Type     DeviceType
	Pos      Pos
	Disabled bool // option enabled 0
	Takeover bool
	Implied  bool // no section of its own
	Settings model.Settings
	// IPv6Set tells that option ipv6 was given, either way: a bridge port has
	// IPv6 switched off unless it says otherwise.
	IPv6Set bool

	// Bridge and OpenVSwitch: the ports in order. Bridge only: whether it may be without any, and the
	// attributes that are sent at creation (netifd's defaults included).
	Ports       []string
	BridgeEmpty bool
	Attrs       rtnl.Bridge
	AttrFields  rtnl.LinkField
	// BridgeOpt holds the values as configured (seconds, not 1/100 s), for
	// bridge-attributes of `network.device status`.
	BridgeOpt BridgeOptions

	// VLAN, SVLAN and MACVLAN: the device below (option ifname).
	Parent string
	VID    uint16
	// QoS mappings as configured, "from:to".
	Ingress, Egress []string

	// MACVLAN only: rtnl.MACVLAN mode (1 private, 2 vepa, 4 bridge, 8 passthru).
	Mode uint32

	// Tunnel only: IFLA_INFO_KIND and IFLA_INFO_DATA.
	Kind, Data string

	// OpenVSwitch only: the bridge as wanted, with those ports too that have a
	// section of their own. Ports above has the devices in it.
	Switch *model.Switch

	// VPort only: the port as wanted, and its bridge.
	VPort  *model.SwitchPort
	Bridge string

	// Veth only.
	PeerName string
	PeerAddr rtnl.HWAddr
}

// BridgeOptions are the bridge's options as netifd reports them.
type BridgeOptions struct {
	STP, IGMPSnooping, MulticastQuerier, VLANFiltering, STPKernel    bool
	ForwardDelay, Priority, AgeingTime, HelloTime, MaxAge            uint32
	HashMax, Robustness, QueryInterval, QueryResponse, LastMemberInt uint32
	STPProto                                                         string
}

// Interface is a `config interface` or `config alias` section.
type Interface struct {
	Name     string
	Pos      Pos
	Proto    string
	Device   string // name, "@iface" for an alias device, "" for none
	AliasOf  string // `config alias`: the interface it sits on
	Auto     bool
	Takeover bool

	ForceLink    bool // resolved: the handler's default unless set
	ForceLinkSet bool
	DefaultRoute bool
	PeerDNS      bool
	Delegate     bool
	Metric       uint32
	DNSMetric    uint32
	DNS          []netip.Addr
	DNSSearch    []string
	IP4Table     uint32 // 0: main
	IP6Table     uint32
	// CarrierLossDelay keeps the interface up through a carrier loss of less
	// than this. At most 3600 s.
	CarrierLossDelay time.Duration
	IP6Assign        IP6Assign
	IP6Class         []string // classes of prefixes to assign from; empty for all
	Zone             string
	Tags             []string
	// Jail is the container that the main device moves into (`network
	// netns_updown`), under the name JailDevice; HostDevice is its name when it
	// comes back. Empty names: that of the device. An interface with a jail
	// does not come up by itself.
	Jail, JailDevice, HostDevice string

	// Depends names the interfaces that must be up for this one to be set up
	// and to stay so. They are other interfaces, and none depends on this one.
	Depends []string

	// Settings are device options that stand in the interface section.
	Settings    model.Settings
	HasSettings bool
	IPv6Set     bool
	// DisabledDevice is `option enabled 0` in the interface section.
	DisabledDevice bool

	Static *Static // proto static

	// CheckupInterval is how long a protocol script may take to come up after
	// its setup has ended; 0 for any time.
	CheckupInterval time.Duration
	// ProtoConfig is the section as JSON, as the handler of a protocol from
	// outside reads it; empty for the built-in protocols.
	ProtoConfig string

	// Options holds every option of the section as written, for handlers that
	// have their own and for telling whether anything changed.
	Options []Option
	// own are those of Options that are the protocol's own.
	own []Option

	// Errors are what is wrong with this section when the configuration was
	// taken all the same (at boot): the interface shows them and stays down.
	Errors []Problem
}

// Option is an option of a section as written.
type Option struct {
	Name   string
	Values []string
	List   bool
}

// Static is the configuration of proto static, and the shape of what any
// handler offers.
type Static struct {
	Addrs    []StaticAddr
	Gateway4 netip.Addr
	Gateway6 netip.Addr
	Prefixes []Prefix6
}

// StaticAddr is one configured address.
type StaticAddr struct {
	Prefix     netip.Prefix // address and length, host bits kept
	Broadcast  netip.Addr   // IPv4; computed unless configured; invalid for /31, /32
	Peer       netip.Addr   // ptpaddr
	Deprecated bool         // ip6deprecated
	// What only a protocol handler says. Lifetimes are kept as the time at
	// which they end, so that they tick; zero: never.
	PreferredUntil, ValidUntil time.Time
	OffLink                    bool   // IPv6: the prefix is not on the link
	Class                      string // shown in status
}

// Prefix6 is a delegated or configured IPv6 prefix (option ip6prefix).
type Prefix6 struct {
	Prefix    netip.Prefix
	Preferred uint32 // seconds, rtnl.LifetimeForever
	Valid     uint32
	Excluded  netip.Prefix
	Class     string
	// PreferredUntil and ValidUntil are when the lifetimes end of a prefix
	// that a protocol handler has told; zero: never, or as configured.
	PreferredUntil, ValidUntil time.Time
}

// Route is a `config route` or `config route6` section, or a route that a
// handler offers.
type Route struct {
	Pos       Pos
	Interface string // "" : attached to no device
	Family    uint8  // AF_INET, AF_INET6
	Target    netip.Prefix
	Gateway   netip.Addr
	Source    netip.Prefix // prefsrc for IPv4 (a /32), source prefix or prefsrc for IPv6; invalid when none
	Metric    uint32
	MetricSet bool
	MTU       uint32
	Table     uint32
	TableSet  bool
	OnLink    bool
	Type      uint8 // RTN_*; RTN_UNICAST unless set
	TypeSet   bool
	Proto     uint8 // RTPROT_*; RTPROT_STATIC unless set
	ProtoSet  bool
	Valid     uint32 // lifetime in seconds, 0 forever
	// ValidUntil is when the lifetime ends of a route that a protocol handler
	// has told; zero: never.
	ValidUntil time.Time
}

// SysctlDisableIPv6 is the setting behind option ipv6, inverted.
const SysctlDisableIPv6 = "ipv6/conf/disable_ipv6"
