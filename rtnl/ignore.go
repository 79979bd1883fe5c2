package rtnl

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// IgnoreRoutesOf makes the kernel keep back notifications of routes (RTM_NEWROUTE,
// RTM_DELROUTE) that the socket with a port (Conn.PortID) has caused: a filter
// (bpf(4), SO_ATTACH_FILTER) throws them away before they take buffer or time.
// Who writes a million routes need not be told of them. Port 0, the kernel
// itself, is refused.
func (n *Notifier) IgnoreRoutesOf(port uint32) error {
	if port == 0 {
		return fmt.Errorf("rtnl: ignore routes of port 0: %w", unix.EINVAL)
	}
	// Loads are big endian whatever the machine is.
	typ := func(t uint16) uint32 { return uint32(be.Uint16(ne.AppendUint16(nil, t))) }
	const offType, offPID = 4, 12
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offPID},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 4, K: be.Uint32(ne.AppendUint32(nil, port))},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: offType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, Jf: 0, K: typ(unix.RTM_NEWROUTE)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 0, Jf: 1, K: typ(unix.RTM_DELROUTE)},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0xffffffff},
	}
	var failed error
	err := n.raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("rtnl: ignore routes of port %d: %w", port, err)
	}
	return nil
}
