// Package l2 decides what a learning Ethernet switch does with a frame: it has
// the MAC table, the VLANs of the ports, and the flows that stand in the
// kernel's datapath because of them.
//
// What lives here: pure logic; time is an argument, and what the datapath is to
// be told comes out as values. What must not: sockets, netlink, clocks (package
// kswitch), and how netlink spells a flow (package ovs).
package l2
