// Package fib computes which routes one dataplane must have, given the routes
// of Linux namespaces, and emits the differences between that and what the
// dataplane has been told.
//
// What lives here: which of the routes of a prefix counts, what it becomes, and
// what is in flight. What must not: interfaces, addresses, neighbours and the
// connection (package pair), and what the kernel has (package mirror).
package fib
