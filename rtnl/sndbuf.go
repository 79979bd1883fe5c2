package rtnl

import "golang.org/x/sys/unix"

// sendReserve is what the kernel keeps of a send buffer: a message that leaves
// less is EMSGSIZE (netlink_sendmsg, net/netlink/af_netlink.c).
const sendReserve = 32

// SetSendBuffer asks for a send buffer of n octets (SO_SNDBUF, socket(7)):
// beyond net.core.wmem_max with CAP_NET_ADMIN, up to it without. Requests are
// sent in batches that fit it.
func (c *Conn) SetSendBuffer(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, n)
		}
		if size, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF); err == nil {
			c.most = min(sendLimit, size-sendReserve)
		}
	})
}
