package rtnl

// Numbers of the kernel's headers that golang.org/x/sys/unix does not have.
const (
	nlaFNested  = 0x8000
	nlaTypeMask = 0x3fff

	ifaProto = 11 // IFA_PROTO, linux/if_addr.h

	rtaNHID = 30 // RTA_NH_ID, linux/rtnetlink.h

	ndaProtocol = 12 // NDA_PROTOCOL, linux/neighbour.h
	ndaFlagsExt = 15 // NDA_FLAGS_EXT

	nhaFDB = 11 // NHA_FDB, linux/nexthop.h

	vethInfoPeer = 1 // VETH_INFO_PEER, linux/veth.h

	rtextFilterSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h

	rtTableCompat = 252 // RT_TABLE_COMPAT: the table is in an attribute

	vlanFlagsKnown = 0x1f // VLAN_FLAG_*, linux/if_vlan.h

	mplsLabelShift = 12 // struct mpls_label, linux/mpls.h
	mplsBottom     = 1 << 8

	familyIPMR  = 128 // RTNL_FAMILY_IPMR, linux/rtnetlink.h
	familyIP6MR = 129 // RTNL_FAMILY_IP6MR

	sizeofNdMsg       = 12
	sizeofFibRuleHdr  = 12
	sizeofNhMsg       = 8
	userHZ            = 100 // ticks per second of clock_t towards user space
	sizeofQoSMapping  = 8   // struct ifla_vlan_qos_mapping
	offCacheExpires   = 8   // rta_expires in struct rta_cacheinfo
	sizeofIfaCacheMin = 8   // ifa_prefered and ifa_valid of struct ifa_cacheinfo
)
