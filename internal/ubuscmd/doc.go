// Package ubuscmd is the ubus command line: `ubus list`, `call`, `listen` and
// so on, with the output and exit codes of OpenWrt's program, so that scripts
// written for that work unchanged. What must not live here: the protocol,
// which is package ubus.
package ubuscmd
