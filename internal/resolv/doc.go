// Package resolv tells the machine's resolver which servers to ask: it writes
// a resolv.conf(5), atomically and only when its content changes, and where
// resolvconf(8) or systemd-resolved owns /etc/resolv.conf it tells them as well.
// /etc/resolv.conf itself is not touched, unless it is the file given.
//
// What must not live here: which servers there are and in which order (package
// iface).
package resolv
