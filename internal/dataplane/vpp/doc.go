// Package vpp is a dataplane (package dataplane) that is VPP: a client of its
// binary API over the unix socket.
//
// What lives here: frames, the messages that netbraid needs and their layouts,
// pipelining, and what VPP's answers mean. What must not: decisions about what
// VPP should have; those are package pair's.
//
// A session is one connection. Its reader only cuts the stream into frames;
// its worker does everything else, one thing after the other, so that nothing
// is shared. Everything is checked before it is sent: VPP takes garbage, and
// some of it ends VPP.
package vpp
