// Package kswitch runs learning Ethernet switches on the openvswitch kernel
// datapath without ovs-vswitchd: it makes datapaths and their ports, takes the
// frames that no flow matches, and writes the flows that package l2 decides on.
// What it made goes on forwarding what is known when the process ends, and is
// taken over by the next one.
//
// Besides those of the Manager a bridge has goroutines that answer upcalls, one a
// socket, and one that reads the flows. All work on the bridge's l2.Bridge under
// one lock and tell the datapath what has come of it before they give it up, so
// that the datapath hears everything in the order in which it was decided.
//
// What lives here: sockets, goroutines, the record of what is ours. What must
// not: decisions about frames (package l2), the wire format (package odp).
//
// An ovs-vswitchd in the same network namespace removes every datapath but its
// own when it starts; ours is then made anew.
package kswitch
