// Package router has the test of a whole router: companions in one namespace,
// in which BIRD speaks BGP and OSPF, another that forwards, netbraid as a process
// between them, a second router and two hosts with real packets.
//
// What lives here: the router and what is done to it. What must not: tests of a
// part, which stand beside it.
package router
