package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"netbraid/internal/cli/monitor"
	"netbraid/rtnl"
)

// netnsDir is where `ip netns` keeps the namespaces that have names.
const netnsDir = "/run/netns/"

func (a *app) monitorCmd() *cobra.Command {
	var o monitor.Options
	var netns string
	c := &cobra.Command{
		Use:   "monitor [KIND...]",
		Short: "Print what the kernel announces about the network, as it happens",
		Long: `Prints every link, addr, neigh (with entries of bridges), route, rule, nexthop and
netconf (settings of links in /proc/sys/net: forwarding, rp_filter,
ignore_routes_with_linkdown, input of MPLS, …) that the kernel announces, or only
the kinds named, one a line: "+" is there now
(new or changed), "-" is gone. Needs no daemon. Nothing is lost silently: where
the kernel spoke faster than we read, or we read faster than the output takes
it, a line says how much is missing there:
  ! N notifications lost: the receive buffer was full (loss 1, N lost so far)
  ! N notifications lost: the output was too slow (loss 2, …)
With --json each line is an object: event (new, gone, lost, unknown), kind, what
identifies the object, settings of a netconf, and text, the line as it is without --json; a loss has
where (receive-buffer or output), count, losses (how often) and total.
Ends with SIGINT (Ctrl-C) or SIGTERM, a second one ends it at once.`,
		Example: `  netbraid monitor
  netbraid monitor --timestamp addr route
  netbraid monitor --netns blue --json route | jq -r 'select(.event == "gone") | .dst'`,
		Args:              kinds,
		ValidArgsFunction: completeKind,
		RunE: func(c *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // the next signal is not ours
			for _, name := range args {
				k, _ := kindNamed(name)
				o.Kinds = append(o.Kinds, k)
			}
			return a.monitor(ctx, o, netns)
		},
	}
	fl := c.Flags()
	fl.BoolVarP(&o.Timestamp, "timestamp", "t", false, "begin every line with the time when it was read")
	fl.BoolVar(&o.JSON, "json", false, "print every line as a JSON object")
	fl.StringVar(&netns, "netns", "", "listen in another network `namespace`: a path, or a name below "+netnsDir)
	fl.IntVar(&o.Buffer, "buffer", monitor.DefaultBuffer, "receive buffer in `octets`")
	_ = c.RegisterFlagCompletionFunc("netns", completeNetns)
	return c
}

func (a *app) monitor(ctx context.Context, o monitor.Options, netns string) error {
	o.NSFD = -1
	if netns != "" {
		if !strings.Contains(netns, "/") {
			netns = netnsDir + netns
		}
		ns, err := rtnl.OpenNS(netns)
		if errors.Is(err, os.ErrNotExist) {
			return exit(exitNotFound, "no network namespace %s", netns)
		}
		if err != nil {
			return err
		}
		defer ns.Close()
		o.NSFD = ns.FD()
	}
	if o.Buffer <= 0 {
		return fmt.Errorf("a receive buffer of %d octets holds nothing", o.Buffer)
	}
	o.Out, o.Colour = a.out, colours(a.out)
	o.Ready = func() { fmt.Fprintln(a.err, "listening; Ctrl-C ends it") }
	return monitor.Run(ctx, o)
}

// kindNamed finds a kind by the name that its lines begin with.
func kindNamed(name string) (rtnl.Kind, bool) {
	for _, k := range monitor.Kinds {
		if k.String() == name {
			return k, true
		}
	}
	return 0, false
}

// kinds is any number of kinds of objects.
func kinds(c *cobra.Command, args []string) error {
	for _, name := range args {
		if _, ok := kindNamed(name); !ok {
			return fmt.Errorf("no kind %q: there is %s (see: %s --help)", name, strings.Join(kindNames(), ", "), c.CommandPath())
		}
	}
	return nil
}

func kindNames() (list []string) {
	for _, k := range monitor.Kinds {
		list = append(list, k.String())
	}
	return list
}

func completeKind(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return kindNames(), cobra.ShellCompDirectiveNoFileComp
}

// completeNetns lists the namespaces that have names; anything else is a file.
func completeNetns(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	entries, err := os.ReadDir(netnsDir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, cobra.ShellCompDirectiveDefault
}
