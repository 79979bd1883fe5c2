package rtnl

import "golang.org/x/sys/unix"

// SetSendBuffer asks for a send buffer of n octets (SO_SNDBUF, socket(7)):
// beyond net.core.wmem_max with CAP_NET_ADMIN, up to it without.
func (c *Conn) SetSendBuffer(n int) {
	_ = c.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, n)
		}
	})
}
