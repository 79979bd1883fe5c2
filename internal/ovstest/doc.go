// Package ovstest gives tests an Open vSwitch of their own: ovsdb-server and
// ovs-vswitchd in a network namespace, with a database and sockets in a folder
// that goes with the test. Nothing in it knows how netbraid talks to them.
package ovstest
