// Package ovs talks to the kernel's openvswitch datapath over generic netlink:
// datapaths, their ports and flows, packets from and to user space. It finds
// out why the kernel refuses something, because the kernel hardly says.
//
// It wants nothing and keeps nothing: what should be there is decided elsewhere.
// How messages look is package odp.
package ovs
