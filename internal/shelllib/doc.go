// Package shelllib lays out the shell library for protocol scripts, so that a
// script written for OpenWrt finds on any Linux the files that it sources. The
// library itself is in share/netifd.
//
// The tests run its functions under dash and busybox ash. What must not live
// here: running protocol scripts, and the commands ubus, uci and jshn that the
// library calls.
package shelllib
