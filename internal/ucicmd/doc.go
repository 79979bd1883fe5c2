// Package ucicmd is the uci command line: show, get, set, commit and so on,
// with the options, output, exit codes and delta files of OpenWrt's program, so
// that scripts written for that work unchanged and both may be used side by
// side. What must not live here: the file formats and the locking, which are
// package uci.
package ucicmd
