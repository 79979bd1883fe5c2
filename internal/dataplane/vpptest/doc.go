// Package vpptest is a VPP for tests: a server of VPP's binary API over a unix
// socket, with VPP's answers, its peculiarities, and its state (interfaces,
// addresses, tables, routes of several sources, neighbours, labels, pairs).
//
// What lives here: that server, and the checks that hold it against recorded
// exchanges. What must not: code of package vpp; each is to find the other's
// mistakes.
//
// It is stricter than VPP. What VPP would drop in silence, take although it is
// garbage, or die of is reported (Options.Fail). On request it makes real taps,
// so that pairs can be tested on a real kernel.
package vpptest
