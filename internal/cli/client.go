package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"netbraid/ubus"
)

// callTimeout bounds one call, as ubus's own command line does.
const callTimeout = 30 * time.Second

// client is a connection to the bus whose errors say what to do next.
type client struct {
	*ubus.Client
	socket string
}

func (a *app) dial(ctx context.Context) (*client, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	c, err := ubus.Dial(ctx, a.socket)
	switch {
	case err == nil:
		return &client{c, a.socket}, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, exit(exitNoDaemon, "netbraid daemon is not running (no ubus socket at %s): start it with `netbraid daemon`", a.socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, exit(exitNoDaemon, "may not use the ubus socket %s: try it as root", a.socket)
	}
	return nil, &exitError{exitNoDaemon, err}
}

// call calls a method and gives its one answer, an empty table when it has
// none.
func (c *client) call(ctx context.Context, object, method string, args ubus.Table) (ubus.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := c.LookupID(ctx, object)
	if errors.Is(err, ubus.StatusNotFound) {
		return nil, exit(exitNoDaemon, "netbraid daemon is not running (the bus at %s has no object %s): start it with `netbraid daemon`", c.socket, object)
	}
	if err != nil {
		return nil, c.failed(object, method, err)
	}
	replies, err := c.CallID(ctx, id, method, args)
	if err != nil {
		return nil, c.failed(object, method, err)
	}
	if len(replies) == 0 {
		return ubus.Table{}, nil
	}
	return joined(replies), nil
}

// joined puts replies together: a status of very many devices comes in several,
// each with other fields of the same devices.
func joined(replies []ubus.Table) ubus.Table {
	out := replies[0]
	if len(replies) == 1 {
		return out
	}
	at := map[string]int{}
	for i, f := range out {
		at[f.Name] = i
	}
	for _, r := range replies[1:] {
		for _, f := range r {
			i, there := at[f.Name]
			if !there {
				at[f.Name] = len(out)
				out = append(out, f)
				continue
			}
			have, _ := out[i].Value.(ubus.Table)
			more, _ := f.Value.(ubus.Table)
			out[i].Value = append(have, more...)
		}
	}
	return out
}

// failed says in words why a call failed; the Status stays in the chain.
func (c *client) failed(object, method string, err error) error {
	switch {
	case errors.Is(err, ubus.ErrClosed):
		return &exitError{exitNoDaemon, fmt.Errorf("the daemon has ended while it was asked (%s %s): %w", object, method, err)}
	case ubus.StatusOf(err) == ubus.StatusTimeout:
		return fmt.Errorf("the daemon has not answered within %s (%s %s): is it busy or stuck? its log says more: %w", callTimeout, object, method, err)
	case ubus.StatusOf(err) == ubus.StatusPermissionDenied:
		return fmt.Errorf("not permitted: %s %s (an access list of ubus allows it, or root): %w", object, method, err)
	}
	return fmt.Errorf("%s %s: %w", object, method, err)
}

// names gives the names of the members of a list that a method answers.
func (c *client) names(ctx context.Context, object, method, list string) ([]string, error) {
	t, err := c.call(ctx, object, method, nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, m := range tables(t, list) {
		s, _ := m.String("name")
		names = append(names, s)
	}
	return names, nil
}

// interfaceCall calls a method for one interface.
func (c *client) interfaceCall(ctx context.Context, name, method string) (ubus.Table, error) {
	t, err := c.call(ctx, "network.interface", method, ubus.Table{{Name: "interface", Value: name}})
	switch {
	case errors.Is(err, ubus.StatusNotFound):
		names, _ := c.interfaces(ctx)
		return nil, noSuch("interface", name, names)
	case errors.Is(err, ubus.StatusUnknownError):
		return nil, fmt.Errorf("%s: %s is refused now (netbraid status %s says how it is): %w", name, method, name, err)
	}
	return t, err
}

// interfacePath is what the objects of interfaces begin with.
const interfacePath = "network.interface."

// interfaces lists the names of the interfaces.
func (c *client) interfaces(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	list, err := c.Lookup(ctx, interfacePath+"*")
	if err != nil && !errors.Is(err, ubus.StatusNotFound) {
		return nil, err
	}
	var names []string
	for _, o := range list {
		names = append(names, strings.TrimPrefix(o.Path, interfacePath))
	}
	slices.Sort(names)
	return names, nil
}

// device asks for one device by name.
func (c *client) device(ctx context.Context, name string) (ubus.Table, error) {
	t, err := c.call(ctx, "network.device", "status", ubus.Table{{Name: "name", Value: name}})
	// netifd answers "Invalid argument" for a name that it does not know.
	if errors.Is(err, ubus.StatusNotFound) || errors.Is(err, ubus.StatusInvalidArgument) {
		names, _ := c.devices(ctx)
		return nil, noSuch("device", name, names)
	}
	return t, err
}

// devices lists the names of the devices.
func (c *client) devices(ctx context.Context) ([]string, error) {
	t, err := c.call(ctx, "network.device", "status", nil)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, f := range t {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names, nil
}
