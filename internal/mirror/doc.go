// Package mirror keeps a model of one network namespace equal to the kernel:
// it applies notifications, and after any loss reads the tables again,
// marks what the dump shows and sweeps what it does not. It is pure: bytes in,
// changes out through a Sink, requests for dumps as values. It does not know what
// anybody wants of the kernel.
//
// Routes live in package rib; here is what the kernel removes without a word
// (silent.go), and in which order what is heard may be believed.
package mirror
