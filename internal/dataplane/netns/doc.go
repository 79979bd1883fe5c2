// Package netns is the dataplane that every Linux has: a network namespace of
// its own in which the kernel forwards, over rtnetlink and nf_tables. The
// physical interfaces live there; each has a companion, the far end of a veth
// pair, in the namespace where routing daemons run. See Options for what is set
// up where.
//
// What lives here: the contract of package dataplane, carried out; sockets,
// sysctls, rule sets. What must not: decisions what the dataplane should have
// (package pair).
package netns
