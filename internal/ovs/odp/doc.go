// Package odp is the wire format of the openvswitch kernel datapath: the
// messages of its generic netlink families (ovs_datapath, ovs_vport, ovs_flow,
// ovs_packet) as values, in both directions, and flows as text. It follows
// linux/openvswitch.h.
//
// It decides nothing and does no I/O; what talks to the kernel is package ovs.
package odp
