package api

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/rtnl"
	"netbraid/ubus"
)

// deviceTable serves the object network.device.
func (s *Server) deviceTable() map[string]handler {
	return map[string]handler{
		"status":    s.deviceStatus,
		"set_alias": s.setAlias,
		"set_state": s.setState,
		"stp_init":  s.stpInit,
	}
}

// deviceStatus answers for one device, or for all that are present. What the
// core knows is taken on the loop; what the kernel has to be asked for is read
// on a goroutine of the request.
func (s *Server) deviceStatus(r *ubus.Request) {
	name, one := r.Args().String("name")
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		names := c.Graph().Names()
		if one {
			if !c.Graph().State(name).Known {
				r.Done(ubus.StatusInvalidArgument)
				return
			}
			names = []string{name}
		}
		snaps := make([]DeviceSnapshot, 0, len(names))
		for _, n := range names {
			if one || c.Graph().Present(n) {
				snaps = append(snaps, SnapshotDevice(c, n))
			}
		}
		if !s.reader.admit() {
			s.log.Warn("call refused: too many readings of devices under way", "method", "network.device status")
			r.Done(ubus.StatusUnknownError)
			return
		}
		go func() {
			defer s.reader.release()
			s.replyDevices(r, snaps, one)
		}()
	})
}

func (s *Server) replyDevices(r *ubus.Request, snaps []DeviceSnapshot, one bool) {
	live, err := s.reader.read(snaps)
	if err != nil {
		s.log.Error("cannot read devices", "error", err)
		r.Done(ubus.StatusUnknownError)
		return
	}
	if one {
		s.reply(r, DeviceStatus(&snaps[0], live[0]))
		return
	}
	full := make(ubus.Table, 0, len(snaps))
	for i := range snaps {
		full = append(full, ubus.Field{Name: snaps[i].Name, Value: DeviceStatus(&snaps[i], live[i])})
	}
	for _, b := range split(full) {
		r.ReplyRaw(b)
	}
	r.Done(ubus.StatusOK)
}

// DeviceSnapshot is what the core knows of a device at one moment.
type DeviceSnapshot struct {
	Name    string
	Config  *config.Device // nil: no section names it
	Present bool
	Up      bool // claimed, and its link is up
	Carrier bool // the same, with carrier
	HasLink bool // a link stands behind it now; then Link is that
	Link    rtnl.Link

	External   bool         // somebody else brings it up and down
	Auth       bool         // waits for 802.1X
	Authorized bool         // 802.1X has let it through
	Ports      []string     // of a bridge, sorted; those added at run time too
	Switch     *core.Switch // of a bridge or port of Open vSwitch
}

// SnapshotDevice takes a snapshot. Only to be called on the loop.
func SnapshotDevice(c *core.Core, name string) DeviceSnapshot {
	st := c.Graph().State(name)
	d := DeviceSnapshot{Name: name, Config: st.Config, Present: st.Present, Up: st.Up, Carrier: st.Link,
		External: st.External, Auth: st.Auth, Authorized: st.Authorized, Ports: c.Graph().Ports(name)}
	slices.Sort(d.Ports)
	if st.Config != nil && (st.Config.Type == config.OpenVSwitch || st.Config.Type == config.VPort) {
		d.Switch = c.SwitchOf(name)
	}
	if l := c.Mirror().LinkByName(name); l != nil {
		d.HasLink, d.Link = true, *l
	}
	return d
}

// LiveDevice is what was read from the kernel for an answer. The zero value is
// that of a device without a link.
type LiveDevice struct {
	Settings *LinkSettings // nil: the driver has none
	TCOffload,
	GRO, HasGRO bool
	Sysctl map[string]int // by the names of sysctlFields; what cannot be read is not there
	Stats  *Stats         // nil: none
}

// DeviceStatus is the answer to `network.device status`, field by field as
// netifd gives it.
func DeviceStatus(d *DeviceSnapshot, live LiveDevice) ubus.Table {
	t := ubus.Table{
		{Name: "external", Value: d.External},
		{Name: "present", Value: d.Present},
		{Name: "type", Value: deviceType(d.Config)},
	}
	if !d.Present {
		return t
	}
	t = append(t, ubus.Table{
		{Name: "up", Value: d.Up},
		{Name: "carrier", Value: d.Carrier},
		{Name: "auth_status", Value: d.Authorized},
	}...)
	t = append(t, typeHead(d.Config)...)
	if live.Settings != nil {
		t = append(t, live.Settings.fields()...)
		t = append(t, ubus.Field{Name: "hw-tc-offload", Value: live.TCOffload}, ubus.Field{Name: "devtype", Value: devtype(&d.Link)})
	}
	t = append(t, typeTail(d)...)
	if d.Up {
		t = append(t, activeFields(d, live)...)
	}
	stats := ubus.Table{}
	if live.Stats != nil {
		stats = live.Stats.fields()
	}
	return append(t, ubus.Field{Name: "statistics", Value: stats})
}

func deviceType(c *config.Device) string {
	switch {
	case c == nil || c.Type == config.Simple:
		return "Network device"
	case c.Type == config.VLAN && c.Implied:
		return "VLAN"
	}
	return string(c.Type)
}

// typeHead has what the type of a device shows before the link settings.
func typeHead(c *config.Device) ubus.Table {
	switch {
	case c == nil || c.Type == config.VLAN && c.Implied:
	case c.Parent != "":
		return ubus.Table{{Name: "parent", Value: c.Parent}}
	case c.Type == config.Veth && c.PeerName != "":
		return ubus.Table{{Name: "peer", Value: c.PeerName}}
	}
	return nil
}

// typeTail has what the type of a device shows after the link settings.
func typeTail(d *DeviceSnapshot) ubus.Table {
	c := d.Config
	switch {
	case c == nil:
	case c.Type == config.Bridge:
		return ubus.Table{{Name: "bridge-members", Value: stringArray(d.Ports)}, {Name: "bridge-attributes", Value: bridgeAttributes(c)}}
	case d.Switch != nil && c.Type == config.OpenVSwitch:
		return switchFields(d.Switch)
	case d.Switch != nil && c.Type == config.VPort:
		return append(ubus.Table{{Name: "bridge", Value: c.Bridge}}, switchPort(c.VPort, d.Switch)...)
	case c.Type == config.SVLAN || c.Type == config.VLAN && !c.Implied:
		return ubus.Table{{Name: "vid", Value: int32(c.VID)}, {Name: "ingress_qos_mapping", Value: qosMapping(c.Ingress)},
			{Name: "egress_qos_mapping", Value: qosMapping(c.Egress)}}
	}
	return nil
}

// bridgeAttributes are the options of a bridge as configured, defaults
// included; ageing_time is 0 when it was not given.
func bridgeAttributes(c *config.Device) ubus.Table {
	o := &c.BridgeOpt
	num := func(name string, v uint32) ubus.Field { return ubus.Field{Name: name, Value: int32(v)} }
	t := ubus.Table{
		{Name: "stp", Value: o.STP},
		num("forward_delay", o.ForwardDelay),
		num("priority", o.Priority),
		num("ageing_time", o.AgeingTime),
		num("hello_time", o.HelloTime),
		num("max_age", o.MaxAge),
		{Name: "igmp_snooping", Value: o.IGMPSnooping},
		{Name: "bridge_empty", Value: c.BridgeEmpty},
		{Name: "multicast_querier", Value: o.MulticastQuerier},
		num("hash_max", o.HashMax),
		num("robustness", o.Robustness),
		num("query_interval", o.QueryInterval),
		num("query_response_interval", o.QueryResponse),
		num("last_member_interval", o.LastMemberInt),
		{Name: "vlan_filtering", Value: o.VLANFiltering},
		{Name: "stp_kernel", Value: o.STPKernel},
	}
	if o.STPProto != "" {
		t = append(t, ubus.Field{Name: "stp_proto", Value: o.STPProto})
	}
	return t
}

// qosMapping turns "from:to" into tables.
func qosMapping(pairs []string) ubus.Array {
	out := ubus.Array{}
	for _, p := range pairs {
		from, to, _ := strings.Cut(p, ":")
		f, err1 := strconv.ParseUint(from, 0, 32)
		t, err2 := strconv.ParseUint(to, 0, 32)
		if err1 == nil && err2 == nil {
			out = append(out, ubus.Table{{Name: "from", Value: uint32(f)}, {Name: "to", Value: uint32(t)}})
		}
	}
	return out
}

// sysctlField is a field of the status that a setting below /proc/sys/net
// answers: its path with %s for the device.
type sysctlField struct {
	name, path string
	yes        bool // shown as true or false
	invert     bool
}

// The fields from sysctls, in netifd's order, around those of the link.
var (
	sysctlMTU6   = sysctlField{name: "mtu6", path: "ipv6/conf/%s/mtu"}
	sysctlFirst  = []sysctlField{{name: "ipv6", path: "ipv6/conf/%s/disable_ipv6", yes: true, invert: true}, {name: "ip6segmentrouting", path: "ipv6/conf/%s/seg6_enabled", yes: true}}
	sysctlSecond = []sysctlField{
		{name: "rpfilter", path: "ipv4/conf/%s/rp_filter"},
		{name: "acceptlocal", path: "ipv4/conf/%s/accept_local", yes: true},
		{name: "igmpversion", path: "ipv4/conf/%s/force_igmp_version"},
		{name: "mldversion", path: "ipv6/conf/%s/force_mld_version"},
		{name: "neigh4reachabletime", path: "ipv4/neigh/%s/base_reachable_time_ms"},
		{name: "neigh6reachabletime", path: "ipv6/neigh/%s/base_reachable_time_ms"},
		{name: "neigh4gcstaletime", path: "ipv4/neigh/%s/gc_stale_time"},
		{name: "neigh6gcstaletime", path: "ipv6/neigh/%s/gc_stale_time"},
		{name: "neigh4locktime", path: "ipv4/neigh/%s/locktime"},
		{name: "dadtransmits", path: "ipv6/conf/%s/dad_transmits"},
	}
	sysctlThird = []sysctlField{
		{name: "sendredirects", path: "ipv4/conf/%s/send_redirects", yes: true},
		{name: "drop_v4_unicast_in_l2_multicast", path: "ipv4/conf/%s/drop_unicast_in_l2_multicast", yes: true},
		{name: "drop_v6_unicast_in_l2_multicast", path: "ipv6/conf/%s/drop_unicast_in_l2_multicast", yes: true},
		{name: "drop_gratuitous_arp", path: "ipv4/conf/%s/drop_gratuitous_arp", yes: true},
		{name: "drop_unsolicited_na", path: "ipv6/conf/%s/drop_unsolicited_na", yes: true},
		{name: "arp_accept", path: "ipv4/conf/%s/arp_accept", yes: true},
	}
	sysctlFields = slices.Concat([]sysctlField{sysctlMTU6}, sysctlFirst, sysctlSecond, sysctlThird)
)

// activeFields has what only a device that is up shows.
func activeFields(d *DeviceSnapshot, live LiveDevice) ubus.Table {
	var t ubus.Table
	add := func(name string, v any) { t = append(t, ubus.Field{Name: name, Value: v}) }
	sysctls := func(list ...sysctlField) {
		for _, f := range list {
			v, ok := live.Sysctl[f.name]
			switch {
			case ok && f.yes:
				add(f.name, (v != 0) != f.invert)
			case ok:
				add(f.name, int32(v))
			}
		}
	}
	l := &d.Link
	add("mtu", int32(l.MTU))
	sysctls(sysctlMTU6)
	if l.Addr.Len > 0 {
		add("macaddr", l.Addr.String())
	}
	add("txqueuelen", int32(l.TxQLen))
	sysctls(sysctlFirst...)
	add("promisc", l.Flags&unix.IFF_PROMISC != 0)
	sysctls(sysctlSecond...)
	var set rtnl.LinkField
	if d.Config != nil {
		set = d.Config.Settings.Fields
	}
	port := func(f rtnl.LinkField, name string, v any) {
		if set&f != 0 {
			add(name, v)
		}
	}
	port(rtnl.PortMcastToUnicast, "multicast_to_unicast", l.Port.McastToUnicast)
	port(rtnl.PortMcastRouter, "multicast_router", int32(l.Port.McastRouter))
	port(rtnl.PortFastLeave, "multicast_fast_leave", l.Port.FastLeave)
	add("multicast", l.Flags&unix.IFF_MULTICAST != 0)
	port(rtnl.PortLearning, "learning", l.Port.Learning)
	port(rtnl.PortUnicastFlood, "unicast_flood", l.Port.UnicastFlood)
	port(rtnl.PortBcastFlood, "broadcast_flood", l.Port.BcastFlood)
	port(rtnl.PortIsolated, "isolate", l.Port.Isolated)
	sysctls(sysctlThird...)
	if d.Auth {
		add("auth", true)
	}
	if live.HasGRO {
		add("gro", live.GRO)
	}
	return t
}

// devtypes are the kinds of links that have a device type of their own in the
// kernel (SET_NETDEV_DEVTYPE), by IFLA_INFO_KIND.
var devtypes = map[string]bool{"bridge": true, "vlan": true, "bond": true, "vxlan": true, "geneve": true, "wireguard": true, "ppp": true, "hsr": true, "dsa": true}

// devtype is the device type as netifd shows it: the kernel's, or else the
// name of the link-layer type.
func devtype(l *rtnl.Link) string {
	if devtypes[l.Kind] {
		return l.Kind
	}
	switch l.Type {
	case unix.ARPHRD_ETHER:
		return "ethernet"
	case unix.ARPHRD_LOOPBACK:
		return "loopback"
	case unix.ARPHRD_PPP:
		return "ppp"
	case unix.ARPHRD_TUNNEL:
		return "tunnel"
	case unix.ARPHRD_TUNNEL6:
		return "tunnel6"
	case unix.ARPHRD_SIT:
		return "sit"
	case unix.ARPHRD_IPGRE:
		return "ipgre"
	case unix.ARPHRD_INFINIBAND:
		return "infiniband"
	case unix.ARPHRD_IEEE80211:
		return "ieee80211"
	case unix.ARPHRD_IEEE802154:
		return "ieee802154"
	case unix.ARPHRD_VOID:
		return "void"
	}
	return "none"
}
