package ovs

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// The flags with which the kernel answers a change with the object as it is
// then.
const echo = unix.NLM_F_ACK | unix.NLM_F_ECHO

// dpObject is how messages call the datapath of a request.
func dpObject(r *odp.DatapathRequest) string {
	if r.Name != "" {
		return strconv.Quote(r.Name)
	}
	return fmt.Sprintf("with ifindex %d", r.Index)
}

func (c *Client) askDatapath(ctx context.Context, cmd uint8, flags uint16, r *odp.DatapathRequest) (d odp.Datapath, err error) {
	err = c.one(ctx, func(f *families) []byte { return odp.AppendDatapath(nil, f.datapath.ID, cmd, flags, r) },
		func(body []byte) (err error) { d, err = odp.ParseDatapath(body); return err })
	if err == nil && d.Index == 0 {
		err = errors.New("ovs: the kernel does not say what has become of it")
	}
	return d, err
}

func (c *Client) getDatapath(ctx context.Context, r *odp.DatapathRequest) (odp.Datapath, error) {
	return c.askDatapath(ctx, odp.CmdGet, unix.NLM_F_ACK, r)
}

// CreateDatapath makes the datapath r.Name, with its local port and device,
// which is down. Without r.Features it gets FeatureUnaligned and
// FeatureVportPIDs. It stays until it is deleted, whatever becomes of us.
func (c *Client) CreateDatapath(ctx context.Context, r odp.DatapathRequest) (odp.Datapath, error) {
	const op = "create datapath"
	if err := odp.CheckName(r.Name); err != nil {
		return odp.Datapath{}, &Error{Op: op, Reason: ErrName, Detail: err.Error()}
	}
	r.Index = 0
	r.Set |= odp.SetUpcallPID
	if r.Set&odp.SetFeatures == 0 {
		r.Set |= odp.SetFeatures
		r.Features = odp.FeatureUnaligned | odp.FeatureVportPIDs
	}
	d, err := c.askDatapath(ctx, odp.CmdNew, echo, &r)
	if err == nil {
		return d, nil
	}
	e, rest := failure(op, dpObject(&r), err)
	if rest && e.Errno == unix.EEXIST {
		if _, err := c.getDatapath(ctx, &odp.DatapathRequest{Name: r.Name}); err == nil {
			return d, e.because(ErrDuplicate, "use it, or delete it first")
		}
		return d, (&looker{Client: c}).nameTaken(ctx, r.Name, e)
	}
	if rest {
		e = whyNotSettings(&r, e)
	}
	return d, e
}

// whyNotSettings says which of the settings of a datapath the kernel refuses.
func whyNotSettings(r *odp.DatapathRequest, e *Error) *Error {
	cache := r.MasksCache
	switch {
	case e.Errno == unix.EOPNOTSUPP:
		return e.because(ErrFeature, "features %#x are asked for", uint32(r.Features))
	case r.Set&odp.SetMasksCache != 0 && (cache&(cache-1) != 0 || e.Errno == unix.ERANGE || e.Errno == unix.ENOMEM):
		return e.because(ErrMasksCache, "%d is asked for", cache)
	case r.Set&odp.SetPerCPU != 0 && len(r.PerCPU) == 0:
		return e.because(ErrSockets, "no socket for any CPU")
	}
	return e
}

// SetDatapath changes what r.Set names of a datapath, found by Index or Name.
// The socket of its local port is changed by SetPort.
func (c *Client) SetDatapath(ctx context.Context, r odp.DatapathRequest) (odp.Datapath, error) {
	const op = "change datapath"
	if r.Set&odp.SetFeatures == 0 {
		// The kernel takes absent features for none.
		have, err := c.getDatapath(ctx, &odp.DatapathRequest{Index: r.Index, Name: r.Name})
		if err != nil {
			return have, noDatapath(op, dpObject(&r), err)
		}
		r.Set |= odp.SetFeatures
		r.Features = have.Features
	}
	r.Set &^= odp.SetUpcallPID | odp.SetIfindex
	d, err := c.askDatapath(ctx, odp.CmdSet, echo, &r)
	if err == nil {
		return d, nil
	}
	e, rest := failure(op, dpObject(&r), err)
	if rest && e.Errno != unix.ENODEV {
		return d, whyNotSettings(&r, e)
	}
	return d, noDatapath(op, dpObject(&r), err)
}

// noDatapath is the error of a request that found no datapath, or failed
// otherwise.
func noDatapath(op, object string, err error) *Error {
	e, rest := failure(op, object, err)
	if rest && e.Errno == unix.ENODEV {
		return e.because(ErrNoDatapath, "none of that name or ifindex is in this network namespace")
	}
	return e
}

// DeleteDatapath deletes a datapath with its ports and flows; devices that were
// ports are free again, internal devices and tunnels go.
func (c *Client) DeleteDatapath(ctx context.Context, index uint32) error {
	r := odp.DatapathRequest{Index: index}
	if index == 0 {
		return &Error{Op: "delete datapath", Object: dpObject(&r), Reason: ErrNoDatapath}
	}
	if _, err := c.askDatapath(ctx, odp.CmdDel, echo, &r); err != nil {
		return noDatapath("delete datapath", dpObject(&r), err)
	}
	return nil
}

// Datapath finds a datapath by the name that its local device was made with.
func (c *Client) Datapath(ctx context.Context, name string) (odp.Datapath, error) {
	r := odp.DatapathRequest{Name: name}
	if err := odp.CheckName(name); err != nil {
		return odp.Datapath{}, &Error{Op: "show datapath", Reason: ErrName, Detail: err.Error()}
	}
	return c.showDatapath(ctx, &r)
}

// DatapathAt finds a datapath by the ifindex of its local device.
func (c *Client) DatapathAt(ctx context.Context, index uint32) (odp.Datapath, error) {
	return c.showDatapath(ctx, &odp.DatapathRequest{Index: index})
}

func (c *Client) showDatapath(ctx context.Context, r *odp.DatapathRequest) (odp.Datapath, error) {
	d, err := c.getDatapath(ctx, r)
	if err != nil {
		return d, noDatapath("show datapath", dpObject(r), err)
	}
	return d, nil
}

// Datapaths lists the datapaths of the namespace.
func (c *Client) Datapaths(ctx context.Context) (list []odp.Datapath, err error) {
	err = c.dump(ctx, func(f *families) []byte { return odp.AppendDump(nil, f.datapath.ID, odp.FamilyDatapath, 0) },
		func(body []byte) error {
			d, err := odp.ParseDatapath(body)
			if err == nil {
				list = append(list, d)
			}
			return err
		})
	if err != nil {
		e, _ := failure("list datapaths", "", err)
		return nil, e
	}
	return list, nil
}
