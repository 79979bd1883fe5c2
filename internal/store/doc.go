// Package store keeps what must survive the daemon: what it made and changed
// in the kernel (written down before it is written there), which interfaces
// somebody took down, and the last good configuration. It reads and writes
// files and decides nothing.
package store
