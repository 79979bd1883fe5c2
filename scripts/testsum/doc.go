// Command testsum reads what `go test -json` prints and writes what a person
// wants of it: a line for each package, the whole output of each test that
// failed, which tests were skipped and why, and a count at the end. It exits
// with 1 when something failed.
//
// What lives here: that summary. What must not: anything that runs tests.
package main
