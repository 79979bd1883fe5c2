package rtnl

// Numbers of the kernel's headers that golang.org/x/sys/unix does not have.
const (
	nlaFNested = 0x8000

	ifaProto = 11 // IFA_PROTO, linux/if_addr.h

	rtaNHID = 30 // RTA_NH_ID, linux/rtnetlink.h

	ndaProtocol = 12 // NDA_PROTOCOL, linux/neighbour.h
	ndaNHID     = 13 // NDA_NH_ID
	ndaFlagsExt = 15 // NDA_FLAGS_EXT

	ntfOffloaded    = 1 << 5 // NTF_OFFLOADED
	ntfSticky       = 1 << 6 // NTF_STICKY
	ntfExtManaged   = 1 << 0 // NTF_EXT_MANAGED
	ntfExtLocked    = 1 << 1 // NTF_EXT_LOCKED
	ntfExtValidated = 1 << 2 // NTF_EXT_EXT_VALIDATED

	fraDSCP          = 25 // FRA_DSCP, linux/fib_rules.h, 6.11 and later
	fraFlowLabel     = 26 // FRA_FLOWLABEL, 6.14
	fraFlowLabelMask = 27 // FRA_FLOWLABEL_MASK
	fraSportMask     = 28 // FRA_SPORT_MASK, 6.15
	fraDportMask     = 29 // FRA_DPORT_MASK
	fraDSCPMask      = 30 // FRA_DSCP_MASK
	dscpAll          = 0x3f
	flowLabelAll     = 0xfffff
	portAll          = 0xffff

	nhaFDB      = 11 // NHA_FDB, linux/nexthop.h
	nhaResGroup = 12 // NHA_RES_GROUP
	nhaOpFlags  = 14 // NHA_OP_FLAGS

	nhaResBuckets    = 1 // NHA_RES_GROUP_BUCKETS
	nhaResIdle       = 2 // NHA_RES_GROUP_IDLE_TIMER
	nhaResUnbalanced = 3 // NHA_RES_GROUP_UNBALANCED_TIMER

	// opGroupReservedIsZero is NHA_OP_FLAG_RESP_GRP_RESVD_0: the kernel means
	// every octet of struct nexthop_grp (6.10 and later).
	opGroupReservedIsZero = 1 << 31
	sizeofNexthopGrp      = 8

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
