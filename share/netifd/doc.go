// Package netifd holds the shell library for protocol scripts, as files in the
// places where scripts look for them below a root. Go code sees them as Files;
// package internal/shelllib lays them out and tests them.
//
// What must not live here: code, protocol scripts (those are the users'), and
// text that comes from OpenWrt.
package netifd
