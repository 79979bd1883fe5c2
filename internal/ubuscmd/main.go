package ubuscmd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"netbraid/ubus"
)

// SocketEnv names the environment variable that replaces the default socket.
const SocketEnv = "NETBRAID_UBUS_SOCKET"

// What a command returns besides the statuses of ubus. Negative results are
// exit codes whose text has been printed already.
const (
	resultFailed = -1
	resultUsage  = -2
	resultEnded  = 128 + int(syscall.SIGTERM) - 256 // what a shell shows for SIGTERM
)

const connectTimeout = 10 * time.Second

// Main runs one ubus command and returns its exit code. prog is the name for
// usage texts, args what follows it. stderrIsTTY changes how a failed call is
// reported, as in the original: a text for people and a positive code.
// SIGINT and SIGTERM end listen, subscribe and monitor with exit code 0.
func Main(prog string, args []string, stdin io.Reader, stdout, stderr io.Writer, stderrIsTTY bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	return run(ctx, prog, args, stdout, stderr, stderrIsTTY)
}

// command is the state of one run.
type command struct {
	options
	ctx    context.Context // ends with a signal
	client *ubus.Client
	out    *bufio.Writer
	err    io.Writer
	tty    bool
}

func run(ctx context.Context, prog string, args []string, stdout, stderr io.Writer, tty bool) int {
	opt, rest, err := parseOptions(args)
	if err != nil {
		if text := err.Error(); text != "" {
			fmt.Fprintf(stderr, "%s: %s\n", prog, text)
		}
		usage(stderr, prog)
		return 1
	}
	if len(rest) == 0 {
		usage(stderr, prog)
		return 1
	}
	c := &command{options: opt, ctx: ctx, out: bufio.NewWriter(stdout), err: stderr, tty: tty}
	dialCtx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c.client, err = ubus.Dial(dialCtx, opt.socketPath())
	if err != nil {
		if !opt.simple {
			fmt.Fprintln(stderr, "Failed to connect to ubus")
		}
		return 255
	}
	defer c.client.Close()
	result := c.dispatch(rest[0], rest[1:])
	c.out.Flush()
	switch {
	case result > 0 && !opt.simple:
		fmt.Fprintf(stderr, "Command failed: %v\n", ubus.Status(result))
	case result == resultUsage:
		usage(stderr, prog)
	}
	return result & 0xff
}

func (o *options) socketPath() string {
	switch {
	case o.socket != "":
		return o.socket
	case os.Getenv(SocketEnv) != "":
		return os.Getenv(SocketEnv)
	}
	return ubus.DefaultSocket
}

// dispatch runs a command. Its result is a ubus status, or negative: an exit
// code that needs no further text, or resultUsage.
func (c *command) dispatch(name string, args []string) int {
	commands := map[string]struct {
		run      func([]string) int
		min, max int // arguments
	}{
		"list":      {c.list, 0, 1},
		"call":      {c.call, 2, 3},
		"subscribe": {c.subscribe, 0, 1 << 20},
		"listen":    {c.listen, 0, 1 << 20},
		"send":      {c.send, 1, 2},
		"wait_for":  {c.waitFor, 1, 1 << 20},
		"monitor":   {c.monitor, 0, 0},
	}
	cmd, ok := commands[name]
	if !ok || len(args) < cmd.min || len(args) > cmd.max {
		return resultUsage
	}
	return cmd.run(args)
}

// limited returns a context that ends with -t, or after the default; 0 is no
// limit.
func (c *command) limited(def int) (context.Context, context.CancelFunc) {
	seconds := def
	if c.hasTimeout {
		seconds = c.timeout
	}
	if seconds <= 0 {
		return context.WithCancel(c.ctx)
	}
	return context.WithTimeout(c.ctx, time.Duration(seconds)*time.Second)
}

const defaultTimeout = 30 // seconds

func (c *command) list(args []string) int {
	ctx, cancel := c.limited(defaultTimeout)
	defer cancel()
	var found []ubus.ObjectInfo
	var err error
	if len(args) == 0 {
		found, err = c.client.LookupAll(ctx)
	} else {
		found, err = c.client.Lookup(ctx, args[0])
	}
	for _, o := range found {
		if c.verbose {
			c.describe(o)
		} else {
			fmt.Fprintln(c.out, o.Path)
		}
	}
	return int(ubus.StatusOf(err))
}

func (c *command) describe(o ubus.ObjectInfo) {
	names := map[ubus.Type]string{
		ubus.TypeBool: "Boolean", ubus.TypeInt32: "Integer", ubus.TypeString: "String",
		ubus.TypeArray: "Array", ubus.TypeTable: "Table",
	}
	fmt.Fprintf(c.out, "'%s' @%08x\n", o.Path, o.ID)
	for _, m := range o.Methods {
		args := make(ubus.Table, len(m.Args))
		for i, a := range m.Args {
			name, ok := names[a.Type]
			if !ok {
				name = "(unknown)"
			}
			args[i] = ubus.Field{Name: a.Name, Value: name}
		}
		fmt.Fprintf(c.out, "\t%s:%s\n", ubus.AppendJSON(nil, m.Name, false), args.JSON())
	}
}

func (c *command) call(args []string) int {
	var data ubus.Table
	if len(args) == 3 {
		var err error
		if data, err = ubus.FromJSON([]byte(args[2])); err != nil {
			return c.callFailed(args, ubus.StatusOf(err))
		}
	}
	ctx, cancel := c.limited(defaultTimeout)
	defer cancel()
	found, err := c.client.Lookup(ctx, args[0])
	if err != nil {
		return int(ubus.StatusOf(err))
	}
	if len(found) == 0 { // there, but not for us
		return c.callFailed(args, ubus.StatusNotFound)
	}
	replies, fd, err := c.client.Invoke(ctx, found[0].ID, args[1], data.Encode(), nil)
	if fd != nil {
		fd.Close()
	}
	for _, r := range replies {
		if r == nil {
			continue
		}
		c.out.Write(ubus.AppendJSON(nil, ubus.DecodeTable(r), !c.simple))
		c.out.WriteByte('\n')
	}
	if err != nil {
		c.out.Flush()
		return c.callFailed(args, ubus.StatusOf(err))
	}
	return 0
}

// callFailed reports a failed call. Scripts get the whole command line and the
// negative status. A call that a signal has ended has not failed: the script that
// made it is being ended with it.
func (c *command) callFailed(args []string, s ubus.Status) int {
	if c.ctx.Err() != nil {
		return resultEnded
	}
	if c.simple || c.tty {
		return int(s)
	}
	fmt.Fprint(c.err, "Command failed: ubus call ")
	for _, a := range args {
		fmt.Fprint(c.err, a, " ")
	}
	fmt.Fprintf(c.err, "(%v)\n", s)
	return -int(s)
}

func (c *command) send(args []string) int {
	var data ubus.Table
	if len(args) == 2 {
		var err error
		if data, err = ubus.FromJSON([]byte(args[1])); err != nil {
			return int(ubus.StatusOf(err))
		}
	}
	ctx, cancel := c.limited(defaultTimeout)
	defer cancel()
	return int(ubus.StatusOf(c.client.Send(ctx, args[0], data)))
}

// print writes an event or notification.
func (c *command) print(name string, data ubus.Table) {
	fmt.Fprintf(c.out, "{ \"%s\": %s }\n", name, data.JSON())
	c.out.Flush()
}

// requestCtx bounds a request that a command makes before it waits.
func (c *command) requestCtx() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, defaultTimeout*time.Second)
}

func (c *command) listen(args []string) int {
	if len(args) == 0 {
		args = []string{"*"}
	}
	ctx, cancel := c.requestCtx()
	defer cancel()
	o, err := c.client.Listen(ctx, c.print)
	failed := args[0]
	for i := 0; err == nil && i < len(args); i++ {
		failed = args[i]
		err = o.ListenTo(ctx, failed)
	}
	return c.wait(failed, err)
}

func (c *command) subscribe(args []string) int {
	if len(args) == 0 {
		if !c.simple {
			fmt.Fprintln(c.err, "You need to specify an object to subscribe to")
		}
		return resultFailed
	}
	ctx, cancel := c.requestCtx()
	defer cancel()
	o, err := c.client.Subscriber(ctx, c.print, nil)
	for i := 0; err == nil && i < len(args); i++ {
		var id uint32
		if id, err = c.client.LookupID(ctx, args[i]); err == nil {
			err = o.Subscribe(ctx, id)
		}
	}
	return c.wait(args[0], err)
}

// wait ends listen and subscribe: at once if err says that they could not
// begin, else with -t or a signal. A lost broker does not end them.
func (c *command) wait(name string, err error) int {
	if err != nil {
		if !c.simple {
			fmt.Fprintf(c.err, "Error while registering for event '%s': %v\n", name, ubus.StatusOf(err))
		}
		return resultFailed
	}
	ctx, cancel := c.limited(0)
	defer cancel()
	<-ctx.Done()
	c.stopHandlers()
	return 0
}

// stopHandlers waits until nothing is printed any more.
func (c *command) stopHandlers() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c.client.Drain(ctx)
}

func (c *command) waitFor(args []string) int {
	missing := slices.Clone(args)
	added := make(chan string, 16)
	ctx, cancel := c.limited(defaultTimeout)
	defer cancel()
	reqCtx, cancelReq := c.requestCtx()
	defer cancelReq()
	o, err := c.client.Listen(reqCtx, func(_ string, data ubus.Table) {
		path, _ := data.String("path")
		select {
		case added <- path:
		case <-ctx.Done():
		}
	})
	if err == nil {
		err = o.ListenTo(reqCtx, "ubus.object.add")
	}
	if err != nil {
		return int(ubus.StatusOf(err))
	}
	found, err := c.client.LookupAll(reqCtx)
	if err != nil {
		return int(ubus.StatusOf(err))
	}
	remove := func(path string) {
		missing = slices.DeleteFunc(missing, func(m string) bool { return m == path })
	}
	for _, o := range found {
		remove(o.Path)
	}
	for len(missing) > 0 {
		if c.hasTimeout && c.timeout <= 0 {
			return int(ubus.StatusTimeout)
		}
		select {
		case path := <-added:
			remove(path)
		case <-ctx.Done():
			return int(ubus.StatusTimeout)
		}
	}
	return 0
}
