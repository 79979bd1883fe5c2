package ovs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Reasons for which something is refused, for errors.Is. The error that wraps
// one says more.
var (
	ErrNoModule     = errors.New("the kernel has no openvswitch")
	ErrPermission   = errors.New("no permission")
	ErrName         = errors.New("not a name for a device")
	ErrNoDatapath   = errors.New("no such datapath")
	ErrNameTaken    = errors.New("a device of that name exists")
	ErrNoPort       = errors.New("no such port")
	ErrNoDevice     = errors.New("no such device")
	ErrLoopback     = errors.New("a loopback device cannot be a port")
	ErrNotEthernet  = errors.New("not an Ethernet device")
	ErrInternal     = errors.New("the device is itself a port of Open vSwitch")
	ErrNoReceive    = errors.New("frames cannot be taken from the device")
	ErrEnslaved     = errors.New("the device belongs to something else")
	ErrDuplicate    = errors.New("it is there already")
	ErrNumberTaken  = errors.New("the port number is taken")
	ErrNumberRange  = errors.New("port numbers are 0 to 65534")
	ErrFull         = errors.New("the datapath has no free port number")
	ErrUnknownType  = errors.New("unknown type of port")
	ErrDroppedType  = errors.New("a type of port that the kernel no longer has")
	ErrTunnelTaken  = errors.New("another tunnel has what this one needs")
	ErrLocalPort    = errors.New("the local port goes with its datapath")
	ErrSockets      = errors.New("not a list of upcall sockets")
	ErrUnchangeable = errors.New("that cannot be changed")
	ErrFeature      = errors.New("the kernel does not know a feature")
	ErrMasksCache   = errors.New("the size of the cache of masks is not a power of two, or too large")
	ErrNoFlow       = errors.New("no such flow")
	ErrBadFlow      = errors.New("the kernel does not accept the flow")
	ErrBadPacket    = errors.New("the kernel does not accept the packet")
)

// Error says what was refused and why.
type Error struct {
	Op     string // "add port"
	Object string // `"eth0" to datapath "br0"`
	Reason error  // one of the reasons above; nil when none was found
	// Detail says what was found, and what to do next.
	Detail string
	Errno  unix.Errno // 0 when the kernel was not asked
	Text   string     // extended acknowledgement of the kernel; mostly empty
	Cause  error      // what else went wrong: the context's end, a closed socket
}

// Error prints all of it.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ovs: " + e.Op)
	if e.Object != "" {
		b.WriteString(" " + e.Object)
	}
	if e.Reason != nil {
		b.WriteString(": " + e.Reason.Error())
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	switch {
	case e.Errno != 0 && e.Reason == nil:
		b.WriteString(": " + e.Errno.Error())
	case e.Errno == 0 && e.Cause != nil:
		b.WriteString(": " + e.Cause.Error())
	}
	if e.Text != "" {
		b.WriteString(" (" + e.Text + ")")
	}
	return b.String()
}

// Unwrap makes errors.Is find the reason, the errno and the cause.
func (e *Error) Unwrap() []error {
	var list []error
	if e.Reason != nil {
		list = append(list, e.Reason)
	}
	if e.Errno != 0 {
		list = append(list, e.Errno)
	}
	if e.Cause != nil {
		list = append(list, e.Cause)
	}
	return list
}
