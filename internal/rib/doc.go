// Package rib holds the routes of one network namespace compactly: a slot of 16
// (IPv4) or 32 (IPv6) octets without a pointer for each route, next hops and
// everything else that routes share interned. It reads the kernel's messages
// straight into slots, marks by generation, and sweeps in slices.
//
// What lives here: what a message does to the routes of its key. What must not:
// when to dump, and what the kernel removes without a word (package mirror).
package rib
