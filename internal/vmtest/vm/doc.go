// Command vm runs one program under a Linux kernel that has every network
// module, for the tests whose kernel features the host lacks (802.1Q, dummy,
// bonding, VRF, netem, PPP, openvswitch, ...).
//
//	vm [flags] -- program [arguments]
//	vm -install [package ...]
//	go test -exec "/path/to/vm --" ./internal/vmtest/...
//
// It boots Debian's kernel in QEMU without any network card. The host's file
// system is shared read-only (9p) under an overlay whose upper layer is memory,
// so that the program runs under its own path, in the same working directory,
// and leaves nothing behind. The same binary is the guest's init: it loads the
// modules that reach the share, sets up /proc, /sys, /dev and /run, starts the
// program and reports to the host over a virtio-serial port.
//
// What lives here: the install step, the QEMU command line, the initramfs, the
// guest's init, the protocol between host and guest. What must not: anything
// that knows netbraid, and test helpers (those are in package vmtest).
package main
