// Package sim is a Linux network kernel for one network namespace, in memory:
// links, addresses, routes, rules, neighbours and settings that answer rtnetlink
// requests, announce changes and lose notifications as the real one does.
//
// It is deterministic: no goroutine, no clock, no randomness but its own
// seeded generator. The real kernel is its specification; truth_test.go
// compares the two, and a difference is an error here. What must not live
// here: anything that decides what a network should look like.
package sim
