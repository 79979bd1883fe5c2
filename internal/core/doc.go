// Package core is where mirror, devices, interfaces, handlers and planner
// meet: events in, actions out. Step is deterministic: the same events at the
// same times give the same actions. There is no goroutine, clock, randomness
// or I/O here; the shell (package daemon) does what the actions say and brings
// the results back as events.
package core
