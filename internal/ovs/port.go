package ovs

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// dropped are the types of ports that Linux had once, and what takes their
// place.
var dropped = map[string]string{
	"gre64":  "use gre, whose tunnel ids have 32 bits",
	"lisp":   "use geneve or vxlan",
	"stt":    "use geneve or vxlan",
	"capwap": "use geneve or vxlan",
}

// ParseType reads the type of a port: "netdev" (or "system", or nothing),
// "internal", "gre", "vxlan", "geneve", or the number of another.
func ParseType(s string) (odp.PortType, error) {
	switch s {
	case "", "netdev", "system":
		return odp.TypeNetdev, nil
	case "internal":
		return odp.TypeInternal, nil
	case "gre":
		return odp.TypeGRE, nil
	case "vxlan":
		return odp.TypeVXLAN, nil
	case "geneve":
		return odp.TypeGeneve, nil
	}
	if n, err := strconv.ParseUint(s, 10, 32); err == nil && n > 0 {
		return odp.PortType(n), nil
	}
	e := &Error{Op: "read", Object: "type of port " + strconv.Quote(s)}
	if instead := dropped[s]; instead != "" {
		return 0, e.because(ErrDroppedType, "%s", instead)
	}
	return 0, e.because(ErrUnknownType, "the kernel has netdev, internal, gre, vxlan and geneve; others need ovs-vswitchd")
}

// portObject is how messages call the port of a request.
func (c *Client) portObject(ctx context.Context, r *odp.PortRequest) string {
	what := strconv.Quote(r.Name)
	if r.Set&odp.SetNumber != 0 {
		what = strconv.FormatUint(uint64(r.Number), 10)
	}
	return fmt.Sprintf("%s of %s", what, c.datapathName(ctx, r.Datapath))
}

// askPorts sends requests about ports; what is answered is in the list at the
// place of its request.
func (c *Client) askPorts(ctx context.Context, cmd uint8, flags uint16, rs []odp.PortRequest) ([]odp.Port, []error) {
	ports, heard := make([]odp.Port, len(rs)), make([]bool, len(rs))
	errs := c.ask(ctx, func(f *families) (msgs [][]byte) {
		for i := range rs {
			msgs = append(msgs, odp.AppendPort(nil, f.vport.ID, cmd, flags, &rs[i]))
		}
		return msgs
	}, func(i int, body []byte) (err error) {
		ports[i], err = odp.ParsePort(body)
		heard[i] = true
		return err
	})
	for i := range errs {
		if errs[i] == nil && !heard[i] {
			errs[i] = errors.New("ovs: the kernel does not say what has become of it")
		}
	}
	return ports, errs
}

func (c *Client) askPort(ctx context.Context, cmd uint8, flags uint16, r *odp.PortRequest) (odp.Port, error) {
	ports, errs := c.askPorts(ctx, cmd, flags, []odp.PortRequest{*r})
	return ports[0], errs[0]
}

func (c *Client) getPort(ctx context.Context, r *odp.PortRequest) (odp.Port, error) {
	return c.askPort(ctx, odp.CmdGet, unix.NLM_F_ACK, r)
}

// AddPort adds a port. Name and Datapath are needed; without a type it is a
// device that exists; Number 0 or unset leaves the number to the kernel, which
// takes the lowest free one; without PIDs what no flow takes is dropped. VXLAN
// and Geneve have their usual UDP port unless Options has another. Statistics to
// begin with were taken by old kernels; Linux 6.12 ignores them (the counters of
// the port that is returned are the true ones).
func (c *Client) AddPort(ctx context.Context, r odp.PortRequest) (odp.Port, error) {
	ports, errs := c.AddPorts(ctx, []odp.PortRequest{r})
	return ports[0], errs[0]
}

// AddPorts adds many ports in their order, each as AddPort. One that is refused
// has its error and does not keep the others from being added.
func (c *Client) AddPorts(ctx context.Context, rs []odp.PortRequest) ([]odp.Port, []error) {
	ports, errs := make([]odp.Port, len(rs)), make([]error, len(rs))
	var send []odp.PortRequest
	var at []int
	for i, r := range rs {
		if errs[i] = fill(&r); errs[i] == nil {
			send, at = append(send, r), append(at, i)
		}
	}
	got, failed := c.askPorts(ctx, odp.CmdNew, echo, send)
	why := looker{Client: c}
	for j, i := range at {
		ports[i] = got[j]
		if failed[j] != nil {
			errs[i] = why.whyNotPort(ctx, &send[j], failed[j])
		}
	}
	return ports, errs
}

// fill completes the request for a new port, or says what is wrong with it.
func fill(r *odp.PortRequest) error {
	e := &Error{Op: "add port", Object: strconv.Quote(r.Name)}
	if err := odp.CheckName(r.Name); err != nil {
		return e.because(ErrName, "%v", err)
	}
	if r.Datapath == 0 {
		return e.because(ErrNoDatapath, "none is given")
	}
	if r.Set&odp.SetNumber != 0 && r.Number > odp.MaxPort {
		return e.because(ErrNumberRange, "%d is asked for", r.Number)
	}
	if r.Set&odp.SetNumber != 0 && r.Number == 0 {
		r.Set &^= odp.SetNumber
	}
	if r.Set&odp.SetType == 0 {
		r.Set |= odp.SetType
		r.Type = odp.TypeNetdev
	}
	if r.Set&odp.SetPIDs == 0 || len(r.PIDs) == 0 {
		r.Set |= odp.SetPIDs
		r.PIDs = []uint32{0}
	}
	if udp := r.Type.DefaultDstPort(); udp != 0 {
		if r.Options.DstPort == 0 {
			r.Options.DstPort = udp
		}
		r.Set |= odp.SetOptions
	}
	return nil
}

// DeletePort deletes a port by number. A device is free again, an internal
// device or a tunnel goes. Its flows stay: a new port that gets the number gets
// them too, so delete them before.
func (c *Client) DeletePort(ctx context.Context, dp, number uint32) error {
	return c.DeletePorts(ctx, dp, []uint32{number})[0]
}

// DeletePorts deletes many ports, with an error for each.
func (c *Client) DeletePorts(ctx context.Context, dp uint32, numbers []uint32) []error {
	const op = "delete port"
	var rs []odp.PortRequest
	for _, n := range numbers {
		rs = append(rs, odp.PortRequest{Datapath: dp, Set: odp.SetNumber, Number: n})
	}
	_, errs := c.askPorts(ctx, odp.CmdDel, echo, rs)
	for i, err := range errs {
		if err == nil {
			continue
		}
		e, rest := failure(op, c.portObject(ctx, &rs[i]), err)
		if rest && e.Errno == unix.EINVAL && numbers[i] == odp.LocalPort {
			_ = e.because(ErrLocalPort, "delete the datapath")
		} else if rest {
			e = c.noPort(ctx, &rs[i], e)
		}
		errs[i] = e
	}
	return errs
}

// noPort says why a port was not found.
func (c *Client) noPort(ctx context.Context, r *odp.PortRequest, e *Error) *Error {
	switch e.Errno {
	case unix.EFBIG:
		return e.because(ErrNumberRange, "%d is asked for", r.Number)
	case unix.ENODEV:
		if _, ok := c.lookDatapath(ctx, r.Datapath); !ok && r.Datapath != 0 {
			return e.because(ErrNoDatapath, "there is no datapath with ifindex %d here", r.Datapath)
		}
		if r.Set&odp.SetNumber == 0 {
			return e.because(ErrNoPort, "if its device was renamed it is found by number only")
		}
		return e.because(ErrNoPort, "there is no port with that number")
	}
	return e
}

// SetPort changes the upcall sockets of a port, found by Number if it is set,
// else by Name. Nothing else of a port can be changed.
func (c *Client) SetPort(ctx context.Context, r odp.PortRequest) (odp.Port, error) {
	p, err := c.askPort(ctx, odp.CmdSet, echo, &r)
	if err == nil {
		return p, nil
	}
	e, rest := failure("change port", c.portObject(ctx, &r), err)
	if !rest {
		return p, e
	}
	if r.Set&odp.SetPIDs != 0 && e.Errno == unix.EINVAL {
		if why := whyNotSockets(&r, e); why != nil {
			return p, why
		}
	}
	switch {
	case e.Errno == unix.EINVAL && r.Set&odp.SetType != 0:
		return p, e.because(ErrUnchangeable, "the type of a port; delete it and add it again")
	case (e.Errno == unix.EOPNOTSUPP || e.Errno == unix.EINVAL) && r.Set&odp.SetOptions != 0:
		return p, e.because(ErrUnchangeable, "the options of a port; delete it and add it again")
	}
	return p, c.noPort(ctx, &r, e)
}

// Port finds a port by number.
func (c *Client) Port(ctx context.Context, dp, number uint32) (odp.Port, error) {
	return c.showPort(ctx, &odp.PortRequest{Datapath: dp, Set: odp.SetNumber, Number: number})
}

// PortByName finds a port by name, in the datapath dp or, if that is 0, in any
// of the namespace. A port whose device was renamed is not found so.
func (c *Client) PortByName(ctx context.Context, dp uint32, name string) (odp.Port, error) {
	if err := odp.CheckName(name); err != nil {
		return odp.Port{}, &Error{Op: "show port", Reason: ErrName, Detail: err.Error()}
	}
	return c.showPort(ctx, &odp.PortRequest{Datapath: dp, Name: name})
}

func (c *Client) showPort(ctx context.Context, r *odp.PortRequest) (odp.Port, error) {
	p, err := c.getPort(ctx, r)
	if err == nil {
		return p, nil
	}
	e, rest := failure("show port", c.portObject(ctx, r), err)
	if rest {
		e = c.noPort(ctx, r, e)
	}
	return p, e
}

// Ports lists the ports of a datapath by hash. While ports come and go one that
// stays may be missing or there twice: Monitor is for that.
func (c *Client) Ports(ctx context.Context, dp uint32) (list []odp.Port, err error) {
	err = c.dump(ctx, func(f *families) []byte { return odp.AppendDump(nil, f.vport.ID, odp.FamilyVport, dp) },
		func(body []byte) error {
			p, err := odp.ParsePort(body)
			if err == nil {
				list = append(list, p)
			}
			return err
		})
	if err != nil {
		return nil, noDatapath("list the ports of", c.datapathName(ctx, dp), err)
	}
	return list, nil
}

// PortNames names the ports of a datapath as they are now, for odp.FormatFlow.
func (c *Client) PortNames(ctx context.Context, dp uint32) (odp.PortNames, error) {
	ports, err := c.Ports(ctx, dp)
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	for _, p := range ports {
		names[p.Number] = p.Name
	}
	return func(number uint32) string { return names[number] }, nil
}
