// Package nstest gives tests real network namespaces of their own, gone with
// the test, and runs commands and daemons inside them. Nothing in it touches
// the namespace that the test started in.
package nstest
