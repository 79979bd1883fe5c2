// Package proto has the contract between an interface and the protocol handler
// that configures it, the handlers that need nobody else (static and none), and
// the one that stands for a program outside: what such a program says
// (notify.go, describe.go) and when it is run and ended (external.go). Handlers
// are pure: an input and the time in, outputs out. What must not live here:
// running programs, and anything that knows ubus.
package proto
