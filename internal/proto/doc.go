// Package proto has the contract between an interface and the protocol handler
// that configures it, and the handlers that need nobody else: static and none.
// Handlers are pure: an input and the time in, outputs out.
package proto
