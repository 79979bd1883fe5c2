// Package birdtest gives tests a BIRD of their own: a routing daemon in a
// network namespace, whose configuration and control socket are in a folder
// that goes with the test. Nothing of /etc/bird is used.
package birdtest
