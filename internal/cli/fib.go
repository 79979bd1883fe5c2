package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"netbraid/ubus"
)

func (a *app) fibCmd() *cobra.Command {
	return a.client(&cobra.Command{
		Use:   "fib [DATAPLANE]",
		Short: "Show how the routes of dataplanes stand",
		Long: `For each dataplane: the state of its connection, which is one of
  live        connected, and what it has is known
  reading     what it has is being read
  connecting  there is no connection yet
  waiting     the last attempt has failed; the next one comes after a delay
then the routes that it must have and those that it has, how many differ, what is
queued, in flight and refused (each with the dataplane's reason), and which
routes of Linux are not mirrored, by reason.
With --json: what netbraid.pair status answers on ubus.`,
		Example: `  netbraid fib
  netbraid fib vpp
  netbraid fib --json | jq '.dataplanes[].fib.differences'`,
		Args:              atMostOne("dataplane"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: a.show(func(ctx context.Context, bus *client, args []string) (ubus.Table, error) {
			t, err := bus.call(ctx, "netbraid.pair", "status", only("dataplane", args))
			if len(args) > 0 && errors.Is(err, ubus.StatusNotFound) {
				names, _ := bus.names(ctx, "netbraid.pair", "status", "dataplanes")
				return nil, noSuch("dataplane", args[0], names)
			}
			return t, err
		}, func(w io.Writer, t ubus.Table, _ []string, colour bool) error {
			planes, left := tables(t, "dataplanes"), tables(t, "left-behind")
			if len(planes) > 0 || len(left) == 0 {
				if err := writePlanes(w, planes, colour); err != nil {
					return err
				}
			}
			return writeLeft(w, left, colour)
		}),
	}, true)
}

// writePlanes prints how each dataplane stands.
func writePlanes(w io.Writer, planes []ubus.Table, colour bool) error {
	return writeEach(w, planes, colour, "no dataplane is configured (config dataplane in /etc/config/network)", writePlane)
}

func writePlane(w io.Writer, p ubus.Table, colour bool) error {
	s := func(key string) string { v, _ := p.String(key); return v }
	state := s("state")
	head := s("name")
	if v := s("version"); v != "" {
		head += " (" + v + ")"
	}
	st := yellow
	if state == "live" {
		st = green
	}
	head += " is " + st.paint(state, colour)
	if lost, ok := p.Int("disconnected"); ok {
		head += ", not connected for " + duration(time.Duration(lost)*time.Second)
	} else if since, ok := p.Int("since"); ok {
		head += " (" + duration(time.Duration(since)*time.Second) + ")"
	}
	if e := s("error"); e != "" {
		head += ": " + e
	}
	if p.Has("retry-in-ms") {
		head += ", next attempt in " + milliseconds(p, "retry-in-ms")
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	t := table{indent: true}
	row := func(key, value string) { t.row(cell{key, dim}, text(value)) }
	place := s("socket") + s("netns")
	row(s("type"), place)
	if leaving, _ := p.Bool("leaving"); leaving {
		t.note(yellow, "not configured any more: its pairs are being taken apart")
	}
	f, _ := p.Table("fib")
	lag := ""
	if v, _ := p.Int("lag-ms"); v > 0 {
		lag = " for " + milliseconds(p, "lag-ms")
	}
	fibRows(&t, row, f, lag)
	row("pairs", fmt.Sprintf("%d; operations: %s pending, %s in flight", len(tables(p, "pairs")), number(p, "pending"), number(p, "in-flight")))
	for _, m := range stringsOf(p, "missing") {
		t.note(yellow, "not with this one: "+m)
	}
	for _, e := range tables(p, "errors") {
		t.note(red, pairError(e))
	}
	for _, e := range tables(f, "failed") {
		route, _ := e.String("route")
		message, _ := e.String("message")
		if n, _ := e.Int("table"); n != 0 {
			route += fmt.Sprintf(" in FIB %d", n)
		}
		t.note(red, "route "+route+": "+message+attempts(e))
	}
	return t.write(w, colour)
}

// fibRows prints the routes of a dataplane in numbers; lag is how long the
// oldest has been in flight.
func fibRows(t *table, row func(key, value string), f ubus.Table, lag string) {
	n := func(key string) int64 { v, _ := f.Int(key); return v }
	routes := fmt.Sprintf("%d of %d there", n("have"), n("routes"))
	differ := cell{text: fmt.Sprintf("%s; %d differ", routes, n("differences"))}
	if n("differences") > 0 {
		differ.style = yellow
	}
	t.row(cell{"routes", dim}, differ)
	phase, _ := f.String("phase")
	if busy, _ := f.Bool("walking"); busy {
		phase += ", looking at routes again"
	}
	row("phase", phase)
	row("tables", fmt.Sprintf("%d, with %d sets of paths, in %s", n("tables"), n("path-sets"), octets(n("bytes"))))
	row("queue", fmt.Sprintf("%d, %d in flight%s, %d refused and waiting, %d not supported", n("queued"), n("in-flight"), lag, n("waiting"), n("unsupported")))
	if n("unclaimed") > 0 {
		row("unclaimed", fmt.Sprintf("%d, of a namespace that is not read yet", n("unclaimed")))
	}
	if n("taken") > 0 {
		row("taken", fmt.Sprintf("%d, by a namespace that comes first", n("taken")))
	}
	for _, s := range tables(f, "skipped") {
		reason, _ := s.String("reason")
		row("skipped", fmt.Sprintf("%s: %s", number(s, "routes"), reason))
	}
}
