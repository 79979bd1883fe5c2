// Package plan compares what is wanted of the kernel with what is there and
// turns the difference into ordered operations. It keeps the three tables that
// this needs: what is wanted and by whom, what is ours (made or changed by us,
// with the value found before), and what is in flight or backing off. It is
// pure; nothing here writes to a kernel.
package plan
