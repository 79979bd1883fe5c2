// Package bench measures the mirror of the kernel (package mirror with the
// sockets of package rtnl) against its peers at a million routes: small C
// programs on a raw socket, vishvananda/netlink, BIRD.
//
// What lives here: the benchmarks, the worlds that they run in, and a driver
// that joins an engine to its sockets, each side in a process of its own, so
// that its CPU time is its own; and the client of VPP (package dataplane/vpp)
// against a test server. What must not: anything that a program imports,
// and any touch of the namespace that the benchmark was started in.
//
// `go test -run '^$' -bench . ./internal/bench` prints a table at its end, one
// line for each figure with its limit and whether it holds. It needs root, a C
// compiler and Debian's bird2; what is missing is named, and the lines that
// need it are left out. (Debian's bird2 starts a BIRD of its own when it is
// installed; the benchmark needs the program only.) NETBRAID_BENCH_ROUTES scales
// the world down for a quick look; the limits are for the million.
// NETBRAID_BENCH_PROFILE=FILE writes CPU profiles of what the mirror does to
// FILE.*. Figures in seconds suffer when others use the machine: the load is
// printed below the table.
package bench
