package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) mirrorCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "mirror",
		Short: "Show how the daemon's picture of the kernel stands",
		Long: `The daemon keeps a copy of the kernel's links, addresses, settings of links
(netconf), neighbours, routes and rules, by what the kernel announces. Announcements that were lost make it read
everything again. For each network namespace: the state, which is one of
  live           equal to the kernel but for what is under way (lag)
  synchronising  a table is being read; those that are live can be relied on
  waiting        loss followed loss; the next attempt comes after a delay
then messages, losses and resyncs since the start, the parameters, and for each
table its state, how many objects it has, and their memory where it is counted.
With --json: what netbraid.mirror status answers on ubus.`,
		Example: `  netbraid mirror
  netbraid mirror --json | jq '.namespaces[].kinds.route.objects'`,
		Args: none,
		RunE: a.show(func(ctx context.Context, bus *client, _ []string) (ubus.Table, error) {
			return bus.call(ctx, "netbraid.mirror", "status", nil)
		}, each("namespaces", writeMirrors)),
	}, true)
}

// writeMirrors prints how each namespace's mirror stands.
func writeMirrors(w io.Writer, list []ubus.Table, colour bool) error {
	return writeEach(w, list, colour, "nothing is mirrored", writeMirror)
}

// writeEach prints the members of a list one after the other, or what is to be
// said when there is none.
func writeEach(w io.Writer, list []ubus.Table, colour bool, none string, one func(io.Writer, ubus.Table, bool) error) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, none)
		return err
	}
	for i, m := range list {
		if i > 0 {
			if _, err := fmt.Fprintln(w); err != nil {
				return err
			}
		}
		if err := one(w, m, colour); err != nil {
			return err
		}
	}
	return nil
}

func writeMirror(w io.Writer, m ubus.Table, colour bool) error {
	ns, _ := m.String("ns")
	state, _ := m.String("state")
	headline := ns + " is " + mirrorStyle(state).paint(state, colour)
	if reason, ok := m.String("reason"); ok {
		headline += ": " + reason
	}
	if m.Has("retry-in-ms") {
		headline += ", for another " + milliseconds(m, "retry-in-ms")
	}
	if _, err := fmt.Fprintln(w, headline); err != nil {
		return err
	}
	t := table{indent: true}
	t.row(cell{"messages", dim}, text(fmt.Sprintf("%s, %s ignored, %s malformed; %s changes", number(m, "messages"), number(m, "ignored"),
		number(m, "malformed"), number(m, "changes"))))
	losses := cell{text: number(m, "losses")}
	if losses.text != "0" {
		losses.style = yellow
	}
	t.row(cell{"losses", dim}, losses)
	resyncs := number(m, "resyncs")
	if resyncs != "0" {
		resyncs += ", the last one took " + milliseconds(m, "last-resync-ms")
	}
	if n := number(m, "incomplete-dumps"); n != "0" {
		resyncs += "; " + n + " dumps were interrupted or failed"
	}
	t.row(cell{"resyncs", dim}, text(resyncs))
	t.row(cell{"lag", dim}, text(milliseconds(m, "lag-ms")))
	if n, ok := m.Int("buffer"); ok {
		t.row(cell{"buffer", dim}, text(octets(n)))
	}
	for i, l := range parameters(m) {
		key := ""
		if i == 0 {
			key = "parameters"
		}
		t.row(cell{key, dim}, text(l))
	}
	if err := t.write(w, colour); err != nil {
		return err
	}
	kinds, _ := m.Table("kinds")
	t = table{head: []string{"TABLE", "STATE", "OBJECTS", "MEMORY"}, indent: true}
	for _, k := range kinds {
		x, _ := k.Value.(ubus.Table)
		state := "synchronising"
		if live, _ := x.Bool("live"); live {
			state = "live"
		}
		memory := ""
		if n, _ := x.Int("bytes"); n > 0 {
			memory = octets(n)
		}
		t.row(cell{k.Name, bold}, cell{state, mirrorStyle(state)}, text(number(x, "objects")), text(memory))
	}
	return t.write(w, colour)
}

func mirrorStyle(state string) style {
	if state == "live" {
		return green
	}
	return yellow
}

// parameters are the mirror's, in lines.
func parameters(m ubus.Table) (lines []string) {
	const width = 64
	t, _ := m.Table("parameters")
	for _, p := range t {
		s := strings.TrimSuffix(p.Name, "-ms") + " " + parameter(t, p.Name)
		if n := len(lines); n > 0 && len(lines[n-1])+len(", ")+len(s) <= width {
			lines[n-1] += ", " + s
			continue
		}
		lines = append(lines, s)
	}
	return lines
}

// parameter is the value of one of the mirror's parameters, in its unit.
func parameter(t ubus.Table, name string) string {
	n, _ := t.Int(name)
	switch {
	case strings.HasSuffix(name, "-ms"):
		return milliseconds(t, name)
	case n == 0:
		return "the system's"
	case name == "rx-buffer-size", name == "tx-buffer-size", name == "pending-max":
		return octets(n)
	}
	return number(t, name)
}

func number(t ubus.Table, name string) string {
	n, _ := t.Int(name)
	return strconv.FormatInt(n, 10)
}

func milliseconds(t ubus.Table, name string) string { return number(t, name) + " ms" }
