// Package memory is a dataplane in memory, for tests: a World that forwards
// nothing but knows what a real one would, others' hands and faults included.
// It is deterministic: a Plane is worked by hand, a step at a time; Start runs
// one by itself, as the real ones are.
//
// What must not live here: anything that decides what a dataplane should have.
package memory
