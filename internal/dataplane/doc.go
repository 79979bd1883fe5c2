// Package dataplane is the contract between netbraid and what forwards packets
// for it: VPP (package vpp) or another network namespace (package netns). It
// has the values that both sides speak of, and the interface that an
// implementation has.
//
// What lives here: values, and what every implementation does alike. What must
// not: sockets, and decisions; who owns which attribute is package pair's.
package dataplane
