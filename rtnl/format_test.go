package rtnl

import (
	"encoding/hex"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFormat(t *testing.T) {
	names := func(i uint32) string { return map[uint32]string{2: "eth0", 3: "br-lan"}[i] }
	link := func(l Link) string { return FormatLink(&l, names) }
	addr := func(a Addr) string { return FormatAddr(&a, names) }
	neigh := func(n Neigh) string { return FormatNeigh(&n, names) }
	route := func(r Route) string { return FormatRoute(&r, names) }
	rule := func(r Rule) string { return FormatRule(&r, names) }
	nexthop := func(n Nexthop) string { return FormatNexthop(&n, names) }
	for _, tc := range []struct{ got, want string }{
		{route(Route{Family: 2, Table: 254, Type: 1, Protocol: 4, Dst: pfx("10.0.0.0/8"), Gateway: ipa("192.0.2.1"), Oif: 2, Priority: 10}),
			"route 10.0.0.0/8 via 192.0.2.1 dev eth0 proto static metric 10"},
		{route(Route{Family: 2, Table: 1000, Type: 1, Protocol: 77, Dst: pfx("0.0.0.0/0"), Gateway: ipa("fe80::1"), Oif: 9, Flags: unix.RTNH_F_ONLINK, MTU: 1300, MTULock: true}),
			"route default via inet6 fe80::1 dev if9 table 1000 proto 77 onlink mtu lock 1300"},
		{route(Route{Family: 10, Table: 254, Type: 7, Protocol: 9, Dst: pfx("::/0"), Src: pfx("2001:db8::/32"), Pref: 3, Expires: 60}),
			"route unreachable ::/0 from 2001:db8::/32 proto ra pref low expires 60s"},
		{route(Route{Family: 2, Table: 254, Type: 1, Protocol: 4, Dst: pfx("10.0.0.1/32"), Scope: 253, Multipath: AppendHops([]Hop{{Oif: 2, Gateway: ipa("192.0.2.1")}, {Oif: 3, Weight: 4}})}),
			"route 10.0.0.1 proto static scope link nexthop via 192.0.2.1 dev eth0 weight 1 nexthop dev br-lan weight 5"},
		{route(Route{Family: 28, Table: 254, Type: 1, Protocol: 4, Label: 100, Encap: "\x00\x0c\x80\x00\x00\x12\xc1\x00", Gateway: ipa("192.0.2.1"), Oif: 2}),
			"route 100 as 200/300 via inet 192.0.2.1 dev eth0 proto static"},
		{addr(Addr{Index: 2, Family: 2, PrefixLen: 24, Local: ipa("192.0.2.1"), Label: "eth0:1", Valid: LifetimeForever, Preferred: LifetimeForever}),
			"addr 192.0.2.1/24 dev eth0 scope global label eth0:1"},
		{addr(Addr{Index: 2, Family: 10, PrefixLen: 64, Local: ipa("2001:db8::1"), Peer: ipa("2001:db8::2"), Scope: 253, Flags: 0x40, Valid: 60}),
			"addr 2001:db8::1 peer 2001:db8::2/64 dev eth0 scope link tentative valid 60s preferred 0s"},
		{neigh(Neigh{Index: 2, Family: 2, State: 2, Dst: ipa("192.0.2.9"), LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1})}),
			"neigh 192.0.2.9 dev eth0 lladdr 02:00:00:00:00:01 reachable"},
		{neigh(Neigh{Index: 2, Family: 7, State: 0x40, Flags: 2, VLAN: 5, Master: 3, LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1})}),
			"fdb 02:00:00:00:00:01 dev eth0 vlan 5 master br-lan self noarp"},
		{neigh(Neigh{Index: 2, Family: 7, State: 0x80, Flags: 2, NHID: 9, VNI: 5, SrcVNI: 6, Port: 4789, Via: 3, LLAddr: MAC([6]byte{2, 0, 0, 0, 0, 1})}),
			"fdb 02:00:00:00:00:01 nhid 9 dev eth0 port 4789 vni 5 src_vni 6 via br-lan self permanent"},
		{neigh(Neigh{Index: 2, Family: 10, Flags: 0x88, ExtFlags: 3, Dst: ipa("fe80::1")}), "neigh proxy fe80::1 dev eth0 router managed locked"},
		{neigh(Neigh{Index: 2, Family: 45}), "neigh family 45 dev eth0"},
		{route(Route{Family: 2, Table: 254, Type: 1, Protocol: 4, Dst: pfx("10.0.0.0/8"), Oif: 2, Realm: 3, Flags: unix.RTM_F_OFFLOAD, Encap: MPLSEncap(100, 200) + string(at(2, 9))}),
			"route 10.0.0.0/8 encap mpls 100/200 ttl 9 dev eth0 proto static rt_offload realm 3"},
		{route(Route{Family: 2, Table: 254, Type: 1, Protocol: 4, Dst: pfx("10.0.0.0/8"), Multipath: AppendHops([]Hop{{Oif: 2, Realm: 0x20003,
			Encap: string(oct(uint16(2), at(1, 0, 0, 0, 0, 0, 0, 0, 7), at(2, 192, 0, 2, 1), at(3, 0, 0, 0, 0), at(4, 64), at(5, 16)))}})}),
			"route 10.0.0.0/8 proto static nexthop encap ip id 7 dst 192.0.2.1 ttl 64 tos 16 dev eth0 weight 1 realm 2/3"},
		{route(Route{Family: 10, Table: 254, Type: 1, Protocol: 4, Dst: pfx("::/0"), Oif: 2, Encap: string(oct(uint16(5), at(1, 0xab, 0xcd)))}),
			"route ::/0 encap seg6 " + hexOf(at(1, 0xab, 0xcd)) + " dev eth0 proto static"},
		{route(Route{Family: 28, Table: 254, Type: 1, Protocol: 4, Label: 100, Oif: 2, TTLProp: 1}), "route 100 dev eth0 proto static ttl-propagate disabled"},
		{route(Route{Family: 128, Table: 254, Type: 5, Protocol: 17, Dst: pfx("233.0.0.1/32"), Src: pfx("192.0.2.1/32"), Iif: 2}),
			"route multicast 233.0.0.1 from 192.0.2.1/32 iif eth0 proto mrouted"},
		{rule(Rule{Family: 2, Priority: 9, Action: 1, Table: 254, SuppressPL: -1, SuppressIG: -1, HasDSCP: true, DSCPMask: 0x38, SportStart: 80, SportEnd: 80, SportMask: 0xfff0, Realm: 3}),
			"rule 9: from all dscp 0/0x38 sport 80/0xfff0 lookup main realm 3"},
		{rule(Rule{Family: 10, Priority: 9, Action: 1, Table: 254, SuppressPL: -1, SuppressIG: -1, HasFlowLabel: true, FlowLabel: 0x12345}),
			"rule 9: inet6 from all flowlabel 0x12345 lookup main"},
		{rule(Rule{Family: 2, Priority: 100, Action: 1, Table: 254, Src: pfx("10.0.0.0/8"), IifName: "eth0", Mark: 1, Mask: 255, SuppressPL: -1, SuppressIG: -1, DportStart: 1, DportEnd: 2}),
			"rule 100: from 10.0.0.0/8 fwmark 0x1/0xff iif eth0 dport 1-2 lookup main"},
		{rule(Rule{Family: 10, Flags: 2, Action: 8, SuppressPL: 0, SuppressIG: -1}), "rule 0: inet6 not from all prohibit suppress_prefixlength 0"},
		{nexthop(Nexthop{ID: 7, Family: 2, Protocol: 4, Oif: 2, Gateway: ipa("192.0.2.1")}), "nexthop id 7 via 192.0.2.1 dev eth0 proto static"},
		{nexthop(Nexthop{ID: 8, Protocol: 4, Group: string(oct(uint32(1), uint32(0), uint32(2), 4, 0, uint16(0)))}), "nexthop id 8 group 1/2,5 proto static"},
		{nexthop(Nexthop{ID: 8, Protocol: 4, GroupType: 1, Group: AppendGroup([]GroupMember{{1, 1}, {2, 4096}}), Resilient: Resilient{32, 12000, 150}}),
			"nexthop id 8 group 1/2,4096 type resilient buckets 32 idle_timer 120s unbalanced_timer 1.5s proto static"},
		{link(Link{Index: 5, Name: "lan0", Flags: 1, MTU: 1500, OperState: 6, Carrier: true, Master: 3, Parent: 2, ParentNSID: -1, Kind: "vlan", VLAN: VLAN{ID: 5, Protocol: 0x8100},
			PortKind: "bridge", Port: Port{State: 3, Cost: 2}, Addr: MAC([6]byte{2, 0, 0, 0, 0, 1})}),
			"link 5: lan0@eth0 up carrier mtu 1500 state up master br-lan address 02:00:00:00:00:01 kind vlan id 5 protocol 802.1Q port bridge state forwarding cost 2"},
	} {
		if tc.got != tc.want {
			t.Errorf("\n got %s\nwant %s", tc.got, tc.want)
		}
	}
}

func TestFormatMessage(t *testing.T) {
	a := Addr{Index: 2, Family: 2, PrefixLen: 24, Local: ipa("192.0.2.1"), Valid: LifetimeForever, Preferred: LifetimeForever}
	r := Route{Family: 2, Table: 254, Type: 1, Protocol: 4, Dst: pfx("10.0.0.0/8"), Oif: 2}
	for _, tc := range []struct {
		msg  []byte
		want string
	}{
		{AppendAddr(nil, unix.RTM_NEWADDR, 0, 0, &a), "+ addr 192.0.2.1/24 dev if2 scope global"},
		{AppendRoute(nil, unix.RTM_DELROUTE, 0, 0, &r), "- route 10.0.0.0/8 dev if2 proto static"},
		{closeMessage(openMessage(nil, unix.RTM_NEWNEXTHOPBUCKET, 0, 0), 0), "? RTM_NEWNEXTHOPBUCKET of 16 octets"},
		{AppendDone(nil, 0, 0), "? NLMSG_DONE of 20 octets"},
		{closeMessage(openMessage(nil, unix.RTM_NEWRULE, 0, 0), 0), "? RTM_NEWRULE: rtnl: decode rule: message is too short"},
	} {
		h, body, _, err := NextMessage(tc.msg)
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatMessage(h, body, nil); got != tc.want {
			t.Errorf("\n got %s\nwant %s", got, tc.want)
		}
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestLabels(t *testing.T) {
	for _, labels := range [][]uint32{nil, {100}, {16, 1<<20 - 1, 3}} {
		for family, encap := range map[uint8]string{unix.AF_MPLS: LabelStack(labels...), unix.AF_INET: MPLSEncap(labels...)} {
			if got := Labels(family, encap); !slices.Equal(got, labels) {
				t.Errorf("%v become %v in family %d", labels, got, family)
			}
			if n := len(labels); n > 0 && encap[len(encap)-2]&1 == 0 {
				t.Errorf("the last entry of %x is not the bottom", encap)
			}
		}
	}
	if got := Labels(unix.AF_INET6, string(oct(uint16(5), at(1, uint32(1))))); got != nil {
		t.Errorf("seg6 has the labels %v", got)
	}
}

func TestGroup(t *testing.T) {
	members := []GroupMember{{ID: 7, Weight: 1}, {ID: 1, Weight: 256}, {ID: 9, Weight: 257}, {ID: 2, Weight: 1<<16 - 1}}
	if got := GroupMembers(AppendGroup(members)); !slices.Equal(got, members) {
		t.Errorf("%v become %v", members, got)
	}
	if got := GroupMembers(AppendGroup([]GroupMember{{1, 0}, {2, 1 << 20}})); got[0].Weight != 1 || got[1].Weight != 1<<16-1 {
		t.Errorf("weights out of range become %v", got)
	}
}

func TestKindNames(t *testing.T) {
	for kind, types := range map[Kind][3]uint16{
		KindLink:    {unix.RTM_NEWLINK, unix.RTM_DELLINK, unix.RTM_GETLINK},
		KindAddr:    {unix.RTM_NEWADDR, unix.RTM_DELADDR, unix.RTM_GETADDR},
		KindNeigh:   {unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH, unix.RTM_GETNEIGH},
		KindRoute:   {unix.RTM_NEWROUTE, unix.RTM_DELROUTE, unix.RTM_GETROUTE},
		KindRule:    {unix.RTM_NEWRULE, unix.RTM_DELRULE, unix.RTM_GETRULE},
		KindNexthop: {unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_GETNEXTHOP},
		KindNetconf: {unix.RTM_NEWNETCONF, unix.RTM_DELNETCONF, unix.RTM_GETNETCONF},
	} {
		for i, typ := range types {
			if k, deleted := KindOf(typ); k != kind || deleted != (i == 1) {
				t.Errorf("%s is %s (a deletion: %v)", typeName(typ), k, deleted)
			}
		}
		if h, _, _, err := NextMessage(AppendDumpRequest(nil, kind, 9, Filter{})); err != nil || h.Type != types[2] || h.Seq != 9 || h.Flags != unix.NLM_F_REQUEST|unix.NLM_F_DUMP {
			t.Errorf("the request to dump every %s: %+v, %v", kind, h, err)
		}
	}
	if k, _ := KindOf(unix.RTM_NEWQDISC); k != 0 || k.String() != "kind(0)" {
		t.Errorf("RTM_NEWQDISC is %s", k)
	}
}
