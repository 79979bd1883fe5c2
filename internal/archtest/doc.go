// Package archtest holds the rules of the house by reading the source: which
// package may import which, what the functional core must not do, that every
// package says what it is, how long files and functions may be, and that the
// documentation says what the code does. Each rule has a source below testdata
// that breaks it.
//
// What must not live here: anything that other packages import, and rules that
// gofmt, go vet or staticcheck hold already.
package archtest
