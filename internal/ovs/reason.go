package ovs

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
	"netbraid/rtnl"
)

// The kernel answers most refusals with EINVAL or ENODEV and no text. What is
// here looks at what there is after a refusal and says what stood in the way.
// What it finds may have changed since; then the errno is all there is to say.

// failure begins the account of a request that has failed. rest is true when
// there is more to find out: the kernel has refused it, and not for want of
// permission.
func failure(op, object string, err error) (e *Error, rest bool) {
	var known *Error
	if errors.As(err, &known) { // the module is gone
		return &Error{Op: op, Object: object, Reason: known.Reason, Detail: known.Detail, Errno: known.Errno, Text: known.Text, Cause: known.Cause}, false
	}
	e = &Error{Op: op, Object: object}
	var refused *rtnl.Error
	if !errors.As(err, &refused) || refused.Cause != nil || refused.Unsent {
		e.Cause = err
		return e, false
	}
	e.Errno, e.Text = refused.Errno, refused.Message
	if e.Errno == unix.EPERM {
		e.Reason = ErrPermission
		e.Detail = "it takes CAP_NET_ADMIN over the network namespace (run as root)"
		return e, false
	}
	return e, true
}

func (e *Error) because(reason error, format string, args ...any) *Error {
	e.Reason, e.Detail = reason, fmt.Sprintf(format, args...)
	return e
}

// lookDatapath looks whether a datapath is there.
func (c *Client) lookDatapath(ctx context.Context, index uint32) (odp.Datapath, bool) {
	d, err := c.getDatapath(ctx, &odp.DatapathRequest{Index: index})
	return d, err == nil
}

// datapathName is how messages call a datapath.
func (c *Client) datapathName(ctx context.Context, index uint32) string {
	if d, ok := c.lookDatapath(ctx, index); ok {
		return fmt.Sprintf("datapath %q", d.Name)
	}
	return fmt.Sprintf("datapath %d", index)
}

// link finds a device of the namespace by name, or by ifindex if there is one.
func (c *Client) link(ctx context.Context, name string, index uint32) (l rtnl.Link, ok bool) {
	msg := rtnl.AppendLink(nil, unix.RTM_GETLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index, Name: name}})
	errs := c.links.Ask(ctx, [][]byte{msg}, func(_ int, _ rtnl.Header, body []byte) { ok = rtnl.DecodeLink(body, &l) == nil })
	return l, ok && errs[0] == nil
}

// looker looks for the reasons of several refusals, and reads the ports only
// once for them.
type looker struct {
	*Client
	ports []odp.Port
	read  bool
}

// allPorts lists the ports of all datapaths of the namespace.
func (c *looker) allPorts(ctx context.Context) []odp.Port {
	if c.read {
		return c.ports
	}
	c.read = true
	dps, err := c.Datapaths(ctx)
	if err != nil {
		return nil
	}
	for _, d := range dps {
		ports, _ := c.Ports(ctx, d.Index)
		c.ports = append(c.ports, ports...)
	}
	return c.ports
}

// whyNotPort says why the kernel has refused to add a port.
func (c *looker) whyNotPort(ctx context.Context, r *odp.PortRequest, err error) error {
	object := fmt.Sprintf("%q to %s", r.Name, c.datapathName(ctx, r.Datapath))
	e, rest := failure("add port", object, err)
	if !rest {
		return e
	}
	if _, ok := c.lookDatapath(ctx, r.Datapath); !ok {
		return e.because(ErrNoDatapath, "there is no datapath with ifindex %d here", r.Datapath)
	}
	switch e.Errno {
	case unix.EFBIG:
		if r.Set&odp.SetNumber != 0 && r.Number != 0 {
			return e.because(ErrNumberRange, "%d is asked for", r.Number)
		}
		return e.because(ErrFull, "delete ports")
	case unix.EAFNOSUPPORT:
		if r.Type >= odp.TypeGRE && r.Type <= odp.TypeGeneve {
			return e.because(ErrUnknownType, "the kernel has no module for %s: load it (modprobe vport-%s)", r.Type, r.Type)
		}
		return e.because(ErrUnknownType, "%s; there are netdev, internal, gre, vxlan and geneve", r.Type)
	case unix.EBUSY:
		if p, err := c.getPort(ctx, &odp.PortRequest{Datapath: r.Datapath, Set: odp.SetNumber, Number: r.Number}); err == nil && r.Set&odp.SetNumber != 0 && r.Number != 0 {
			return e.because(ErrNumberTaken, "%d is that of %q; ask for another, or for none", r.Number, p.Name)
		}
	case unix.EINVAL:
		if e := whyNotSockets(r, e); e != nil {
			return e
		}
	}
	switch r.Type {
	case odp.TypeNetdev:
		return c.whyNotDevice(ctx, r, e)
	case odp.TypeInternal:
		if e.Errno == unix.EEXIST {
			return c.nameTaken(ctx, r.Name, e)
		}
	default:
		return c.whyNotTunnel(ctx, r, e)
	}
	return e
}

// whyNotSockets looks whether the upcall sockets are the reason; nil if not.
func whyNotSockets(r *odp.PortRequest, e *Error) *Error {
	if len(r.PIDs) <= 1 {
		return nil
	}
	return e.because(ErrSockets, "%d sockets for one port; the kernel takes at most one for each CPU", len(r.PIDs))
}

// nameTaken says whose name it is that a new device cannot have.
func (c *looker) nameTaken(ctx context.Context, name string, e *Error) *Error {
	l, ok := c.link(ctx, name, 0)
	if !ok {
		return e
	}
	for _, p := range c.allPorts(ctx) {
		if p.Ifindex == l.Index && !p.Moved {
			if p.Number == odp.LocalPort {
				return e.because(ErrNameTaken, "it is the local device of datapath %q; take another name", p.Name)
			}
			return e.because(ErrNameTaken, "it is port %d of %s; take another name", p.Number, c.datapathName(ctx, p.Datapath))
		}
	}
	return e.because(ErrNameTaken, "it is %s; take another name, or delete it (ip link delete %s)", kindOf(&l), name)
}

// kindOf is what a device is, in words.
func kindOf(l *rtnl.Link) string {
	if l.Kind != "" {
		return "a device of kind " + l.Kind
	}
	return "a device"
}

// whyNotDevice says why a device cannot be a port.
func (c *looker) whyNotDevice(ctx context.Context, r *odp.PortRequest, e *Error) error {
	l, ok := c.link(ctx, r.Name, 0)
	if !ok {
		return e.because(ErrNoDevice, "there is no device %q here; it has to be made first, or be an internal port", r.Name)
	}
	switch {
	case l.Flags&unix.IFF_LOOPBACK != 0:
		return e.because(ErrLoopback, "use a veth pair or an internal port")
	case l.Kind == "openvswitch":
		return c.isInternal(ctx, &l, e)
	case l.Type != unix.ARPHRD_ETHER && l.Type != unix.ARPHRD_NONE:
		return e.because(ErrNotEthernet, "%q is %s with link type %d; for a tunnel add a port of type gre, vxlan or geneve, or a gretap device", r.Name, kindOf(&l), l.Type)
	case l.Kind == "vrf":
		return e.because(ErrNoReceive, "%q is a VRF; add its members instead", r.Name)
	case e.Errno == unix.EBUSY || e.Errno == unix.EEXIST:
		return c.whose(ctx, r, &l, e)
	}
	return e
}

func (c *looker) isInternal(ctx context.Context, l *rtnl.Link, e *Error) *Error {
	for _, p := range c.allPorts(ctx) {
		switch {
		case p.Ifindex != l.Index || p.Moved:
		case p.Number == odp.LocalPort:
			return e.because(ErrInternal, "%q is the local device of its own datapath; connect datapaths with a veth pair", l.Name)
		default:
			return e.because(ErrInternal, "%q is internal port %d of %s; delete it there, or connect datapaths with a veth pair", l.Name, p.Number, c.datapathName(ctx, p.Datapath))
		}
	}
	return e.because(ErrInternal, "%q is an internal device of another datapath", l.Name)
}

// whose says who has a device that is taken.
func (c *looker) whose(ctx context.Context, r *odp.PortRequest, l *rtnl.Link, e *Error) *Error {
	for _, p := range c.allPorts(ctx) {
		switch {
		case p.Ifindex != l.Index || p.Moved:
		case p.Datapath == r.Datapath:
			return e.because(ErrDuplicate, "%q is port %d of it", l.Name, p.Number)
		default:
			return e.because(ErrEnslaved, "%q is port %d of %s; delete it there", l.Name, p.Number, c.datapathName(ctx, p.Datapath))
		}
	}
	if m, ok := c.link(ctx, "", l.Master); ok && l.Master != 0 {
		return e.because(ErrEnslaved, "%q belongs to %q (%s); take it out (ip link set %s nomaster), or add %q", l.Name, m.Name, kindOf(&m), l.Name, m.Name)
	}
	if e.Errno == unix.EBUSY {
		return e.because(ErrEnslaved, "another device takes the frames of %q (a macvlan, an ipvlan, …): delete that first", l.Name)
	}
	return e
}

// whyNotTunnel says why a tunnel cannot be added.
func (c *looker) whyNotTunnel(ctx context.Context, r *odp.PortRequest, e *Error) error {
	if e.Errno != unix.EEXIST && e.Errno != unix.EADDRINUSE {
		return e
	}
	for _, p := range c.allPorts(ctx) {
		switch {
		case p.Type != r.Type:
		case p.Type == odp.TypeGRE:
			return e.because(ErrTunnelTaken, "%q of %s is the one GRE port that a namespace can have; use that", p.Name, c.datapathName(ctx, p.Datapath))
		case p.Options.DstPort == r.Options.DstPort:
			return e.because(ErrTunnelTaken, "%q of %s has UDP port %d; use that, or another dst_port", p.Name, c.datapathName(ctx, p.Datapath), r.Options.DstPort)
		}
	}
	if taken := c.nameTaken(ctx, r.Name, e); taken.Reason != nil {
		return taken
	}
	if r.Type == odp.TypeGRE {
		return e.because(ErrTunnelTaken, "there is a gretap device that is \"external\"; a namespace can have one")
	}
	return e.because(ErrTunnelTaken, "a program or another %s device has UDP port %d", r.Type, r.Options.DstPort)
}
