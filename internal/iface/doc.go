// Package iface is the life of one interface: a state machine with one table
// of legal moves between DOWN, SETUP, UP and TEARDOWN, and the translation of
// what a protocol handler offers into addresses, routes and rules. It is pure
// and knows nothing of the kernel.
package iface
