package api

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// wire is what veth, and VLANs on it, say of themselves.
func wire() *LinkSettings { return &LinkSettings{Speed: 10000, PauseAutoneg: true} }

const (
	wireText = `"link-advertising":[],"link-partner-advertising":[],"link-supported":[],"speed":"10000F","autoneg":false,` +
		`"flow-control":{"autoneg":true,"supported":[],"link-advertising":[],"link-partner-advertising":[],"negotiated":[]},"hw-tc-offload":false,`
	headText = `{"external":false,"present":true,"type":%,"up":true,"carrier":true,"auth_status":false,`
)

func linkOf(kind string) rtnl.Link {
	return rtnl.Link{Type: unix.ARPHRD_ETHER, Kind: kind, MTU: 1400, TxQLen: 1000, Flags: unix.IFF_UP | unix.IFF_MULTICAST,
		Addr: rtnl.MAC([6]byte{2, 0, 0, 0, 1, 0}), Port: rtnl.Port{McastRouter: 2, Isolated: true}}
}

// TestDeviceStatusByType has the order of the fields as netifd was recorded
// with each type (VLANs: on a kernel that has them).
func TestDeviceStatusByType(t *testing.T) {
	const link = `"mtu":1400,"mtu6":1500,"macaddr":"02:00:00:00:01:00","txqueuelen":1000,"ipv6":true,"promisc":false,"rpfilter":2,"multicast":true,"arp_accept":false,"gro":true,"statistics":{}}`
	head := func(typ string) string { return strings.Replace(headText, "%", typ, 1) }
	for _, c := range []struct {
		name string
		kind string
		cfg  *config.Device
		want string
	}{
		{"no section", "", nil, head(`"Network device"`) + wireText + `"devtype":"ethernet",` + link},
		{"8021q", "vlan", &config.Device{Type: config.VLAN, Parent: "eth2", VID: 100, Ingress: []string{"1:2"}, Egress: []string{"3:4"}},
			head(`"8021q"`) + `"parent":"eth2",` + wireText + `"devtype":"vlan","vid":100,"ingress_qos_mapping":[{"from":1,"to":2}],"egress_qos_mapping":[{"from":3,"to":4}],` + link},
		{"8021ad", "vlan", &config.Device{Type: config.SVLAN, Parent: "eth2", VID: 200},
			head(`"8021ad"`) + `"parent":"eth2",` + wireText + `"devtype":"vlan","vid":200,"ingress_qos_mapping":[],"egress_qos_mapping":[],` + link},
		{"implied VLAN", "vlan", &config.Device{Type: config.VLAN, Parent: "br-lan", VID: 1, Implied: true},
			head(`"VLAN"`) + wireText + `"devtype":"vlan",` + link},
		{"macvlan", "macvlan", &config.Device{Type: config.MACVLAN, Parent: "eth1", Mode: 4},
			head(`"macvlan"`) + `"parent":"eth1",` + wireText + `"devtype":"ethernet",` + link},
		{"veth", "veth", &config.Device{Type: config.Veth, PeerName: "vp1"},
			head(`"veth"`) + `"peer":"vp1",` + wireText + `"devtype":"ethernet",` + link},
		{"bridge", "bridge", &config.Device{Type: config.Bridge, Ports: []string{"eth1", "eth0"}, BridgeEmpty: true,
			BridgeOpt: config.BridgeOptions{STP: true, ForwardDelay: 8, Priority: 32767, AgeingTime: 120, STPProto: "rstp"}},
			head(`"bridge"`) + wireText + `"devtype":"bridge","bridge-members":["eth0","eth1"],"bridge-attributes":{"stp":true,"forward_delay":8,` +
				`"priority":32767,"ageing_time":120,"hello_time":0,"max_age":0,"igmp_snooping":false,"bridge_empty":true,"multicast_querier":false,` +
				`"hash_max":0,"robustness":0,"query_interval":0,"query_response_interval":0,"last_member_interval":0,"vlan_filtering":false,` +
				`"stp_kernel":false,"stp_proto":"rstp"},` + link},
	} {
		d := DeviceSnapshot{Config: c.cfg, Present: true, Up: true, Carrier: true, HasLink: true, Link: linkOf(c.kind)}
		live := LiveDevice{Settings: wire(), GRO: true, HasGRO: true,
			Sysctl: map[string]int{"mtu6": 1500, "ipv6": 0, "rpfilter": 2, "arp_accept": 0}}
		if c.name == "bridge" {
			d.Ports = []string{"eth0", "eth1"} // as SnapshotDevice has them
		}
		if got := text(DeviceStatus(&d, live)); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

func TestDeviceStatusByState(t *testing.T) {
	for _, c := range []struct {
		name string
		d    DeviceSnapshot
		want string
	}{
		{"absent", DeviceSnapshot{}, `{"external":false,"present":false,"type":"Network device"}`},
		{"external, held back by 802.1X", DeviceSnapshot{Present: true, Up: true, External: true, Auth: true, Link: linkOf("veth")},
			`{"external":true,"present":true,"type":"Network device","up":true,"carrier":false,"auth_status":false,"mtu":1400,` +
				`"macaddr":"02:00:00:00:01:00","txqueuelen":1000,"promisc":false,"multicast":true,"auth":true,"statistics":{}}`},
		{"bridge that is down has no link", DeviceSnapshot{Present: true, Config: &config.Device{Type: config.Veth}},
			`{"external":false,"present":true,"type":"veth","up":false,"carrier":false,"auth_status":false,"statistics":{}}`},
		{"options of a port", DeviceSnapshot{Present: true, Up: true, Link: linkOf("veth"), Config: &config.Device{
			Settings: model.Settings{Fields: rtnl.PortMcastRouter | rtnl.PortIsolated | rtnl.PortLearning}}},
			`{"external":false,"present":true,"type":"Network device","up":true,"carrier":false,"auth_status":false,"mtu":1400,` +
				`"macaddr":"02:00:00:00:01:00","txqueuelen":1000,"promisc":false,"multicast_router":2,"multicast":true,"learning":false,"isolate":true,"statistics":{}}`},
	} {
		if got := text(DeviceStatus(&c.d, LiveDevice{})); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
