// Package conformance is the contract of package dataplane as tests: every
// implementation, with a world around it, runs all of them.
//
// What lives here: the cases, and the client that they speak through. What must
// not: anything of one implementation; what is special about it is its World's.
package conformance
