package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"netbraid/internal/ovs"
	"netbraid/internal/ovs/odp"
)

func (a *app) ovsFlowsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "dump-flows [BRIDGE]",
		Short: "Print the flows of the kernel's datapath; needs no daemon",
		Long: `Prints what the kernel's openvswitch datapath does with frames, a flow a line: what
it matches, how often it has been used, and its actions. It is read from the kernel
of this network namespace, for a bridge with backend 'kernel' by its name; the
bridges of ovs-vswitchd share one datapath (ovs-system). Without an argument: the
flows of all datapaths.`,
		Example: `  netbraid ovs dump-flows ovs0
  netbraid ovs dump-flows --json | jq '.datapaths[].flows | length'`,
		Args: atMostOne("bridge"),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), callTimeout)
			defer cancel()
			conn, err := ovs.Open(ctx, -1)
			if err != nil {
				return ovsFailed(err)
			}
			defer conn.Close()
			list, err := datapaths(ctx, conn, args)
			if err != nil {
				return err
			}
			if a.json {
				return a.flowsJSON(ctx, conn, list)
			}
			return a.flowsText(ctx, conn, list, len(args) == 1)
		},
		ValidArgsFunction: a.completeSwitch,
	}
	c.Flags().BoolVar(&a.json, "json", false, "print them as JSON")
	return c
}

// ovsFailed says what to do about a refusal, where that is not in it.
func ovsFailed(err error) error {
	if errors.Is(err, ovs.ErrPermission) {
		return fmt.Errorf("%w: try it as root", err)
	}
	return err
}

// datapaths lists the datapaths, or the one that is named.
func datapaths(ctx context.Context, conn *ovs.Client, args []string) ([]odp.Datapath, error) {
	list, err := conn.Datapaths(ctx)
	if err != nil || len(args) == 0 {
		return list, ovsFailed(err)
	}
	var names []string
	for _, d := range list {
		if d.Name == args[0] {
			return []odp.Datapath{d}, nil
		}
		names = append(names, d.Name)
	}
	if len(names) == 0 {
		return nil, exit(exitNotFound, "no datapath %q: the kernel has none in this network namespace", args[0])
	}
	return nil, noSuch("datapath", args[0], names)
}

// portNames gives the names of a datapath's ports.
func portNames(ctx context.Context, conn *ovs.Client, d *odp.Datapath) (odp.PortNames, error) {
	ports, err := conn.Ports(ctx, d.Index)
	if err != nil {
		return nil, err
	}
	names := map[uint32]string{}
	for _, p := range ports {
		names[p.Number] = p.Name
	}
	return func(n uint32) string { return names[n] }, nil
}

func (a *app) flowsText(ctx context.Context, conn *ovs.Client, list []odp.Datapath, one bool) error {
	w := bufio.NewWriter(a.out)
	for i := range list {
		names, err := portNames(ctx, conn, &list[i])
		if err != nil {
			return err
		}
		head := ""
		if !one {
			head = list[i].Name + " "
		}
		now := ovs.Monotonic()
		err = conn.EachFlow(ctx, list[i].Index, 0, func(f *odp.Flow) error {
			_, err := fmt.Fprintf(w, "%s%s\n", head, odp.FormatFlow(f, names, now))
			return err
		})
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

// datapathFlows is a datapath in the JSON of dump-flows.
type datapathFlows struct {
	Name  string         `json:"name"`
	Flows []odp.FlowView `json:"flows"`
}

func (a *app) flowsJSON(ctx context.Context, conn *ovs.Client, list []odp.Datapath) error {
	out := struct {
		Datapaths []datapathFlows `json:"datapaths"`
	}{[]datapathFlows{}}
	for i := range list {
		names, err := portNames(ctx, conn, &list[i])
		if err != nil {
			return err
		}
		d := datapathFlows{Name: list[i].Name, Flows: []odp.FlowView{}}
		now := ovs.Monotonic()
		err = conn.EachFlow(ctx, list[i].Index, 0, func(f *odp.Flow) error {
			d.Flows = append(d.Flows, odp.ViewFlow(f, names, now))
			return nil
		})
		if err != nil {
			return err
		}
		out.Datapaths = append(out.Datapaths, d)
	}
	b, err := json.MarshalIndent(out, "", "\t")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, string(b))
	return err
}
