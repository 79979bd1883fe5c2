package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) manCmd() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use:   "man",
		Short: "Print the manual page",
		Long:  "Prints the manual page, netbraid(8), made from the same texts as --help.",
		Example: `  netbraid man | man -l -
  netbraid man > /usr/share/man/man8/netbraid.8
  netbraid man --format markdown`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			blocks := manual(c.Root())
			switch format {
			case "roff":
				return writeAll(a.out, roff(blocks))
			case "markdown":
				return writeAll(a.out, markdown(blocks))
			}
			return fmt.Errorf("no format %q: there is roff and markdown", format)
		},
	}
	c.Flags().StringVar(&format, "format", "roff", "`format`: roff or markdown")
	return c
}

func writeAll(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

// block is a piece of the manual.
type block struct {
	kind blockKind
	term string // of an item
	text string
}

type blockKind uint8

const (
	section    blockKind = iota // a heading
	subsection                  // a heading below
	paragraph                   // text whose lines may be filled
	verbatim                    // text whose lines are kept
	item                        // a term with its meaning
)

// manual is the page, from the tree of commands.
func manual(root *cobra.Command) []block {
	out := []block{
		{kind: section, text: "NAME"},
		{kind: paragraph, text: "netbraid - keep network interfaces as the configuration says"},
		{kind: section, text: "SYNOPSIS"},
		{kind: verbatim, text: "netbraid COMMAND [OPTIONS]\nnetbraid COMMAND --help"},
		{kind: section, text: "DESCRIPTION"},
		{kind: paragraph, text: root.Long},
		{kind: paragraph, text: `Called by the name netifd it is "netbraid daemon"; called ubus, uci or jshn it is ` +
			`"netbraid ubus", "netbraid uci" or "netbraid jshn"; called ifup, ifdown or ifstatus it does what OpenWrt's programs of these names do. "netbraid daemon" reads UCI; ` +
			`a section or option that is wrong is named with file, line, and what is allowed.`},
		{kind: section, text: "COMMANDS"},
	}
	for _, c := range root.Commands() {
		if !c.Hidden && c.Name() != "help" {
			out = append(out, manualCommand(c)...)
		}
	}
	return append(out, manualEnd()...)
}

func manualCommand(c *cobra.Command) []block {
	if c.HasSubCommands() {
		var out []block
		for _, sub := range c.Commands() {
			out = append(out, manualCommand(sub)...)
		}
		return out
	}
	out := []block{{kind: subsection, text: c.UseLine()}}
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	out = append(out, paragraphs(text)...)
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" && !f.Hidden {
			out = append(out, flagItem(f))
		}
	})
	if c.Example != "" {
		out = append(out, block{kind: verbatim, text: unindent(c.Example)})
	}
	return out
}

// paragraphs splits a help text: lines that begin with two spaces are kept as
// they are.
func paragraphs(text string) []block {
	var out []block
	for _, l := range strings.Split(text, "\n") {
		kind := paragraph
		if strings.HasPrefix(l, "  ") {
			kind = verbatim
		}
		last := len(out) - 1
		switch {
		case l == "":
			out = append(out, block{})
		case last >= 0 && out[last].kind == kind && out[last].text != "":
			out[last].text += "\n" + strings.TrimPrefix(l, "  ")
		default:
			out = append(out, block{kind: kind, text: strings.TrimPrefix(l, "  ")})
		}
	}
	kept := out[:0]
	for _, b := range out {
		if b.text != "" {
			kept = append(kept, b)
		}
	}
	return kept
}

func unindent(s string) string {
	return strings.ReplaceAll(strings.TrimPrefix(s, "  "), "\n  ", "\n")
}

func flagItem(f *pflag.Flag) block {
	arg, usage := pflag.UnquoteUsage(f)
	term := "--" + f.Name
	if f.Shorthand != "" {
		term = "-" + f.Shorthand + ", " + term
	}
	if arg != "" {
		term += " " + arg
	}
	if f.DefValue != "" && f.DefValue != "false" && f.Name != "socket" {
		usage += " (default " + f.DefValue + ")"
	}
	return block{item, term, usage}
}

func manualEnd() []block {
	return []block{
		{kind: section, text: "EXIT STATUS"},
		{item, "0", "done"},
		{item, "1", "refused, failed, or wrong usage; a message says why"},
		{item, "2", "plan: a reload would change something"},
		{item, "3", "no such interface, device or network namespace"},
		{item, "4", "the daemon cannot be reached"},
		{kind: paragraph, text: "netbraid ubus, uci and jshn have the exit codes of OpenWrt's programs."},
		{kind: section, text: "FILES"},
		{item, "/etc/config/network", "the configuration"},
		{item, "/run/netbraid", "what the daemon has made and what it found before, for this boot"},
		{item, "/var/lib/netbraid", "the last good configuration, used at start when /etc/config/network has errors"},
		{item, "/var/run/ubus/ubus.sock", "the ubus socket"},
		{kind: section, text: "ENVIRONMENT"},
		{item, socketEnv, "the ubus socket, when -s is not given"},
		{item, "NO_COLOR", "when set, no colours"},
		{item, "NOTIFY_SOCKET", "where netbraid daemon tells the service manager that it is ready, see sd_notify(3)"},
		{kind: section, text: "SEE ALSO"},
		{kind: paragraph, text: "ip(8), bridge(8), rtnetlink(7), network_namespaces(7)"},
	}
}

// roff writes the page for man(1) (man(7) macros).
func roff(blocks []block) string {
	var b strings.Builder
	b.WriteString(".TH NETBRAID 8 \"\" \"netbraid\" \"System administration\"\n")
	for _, x := range blocks {
		switch x.kind {
		case section:
			b.WriteString(".SH " + x.text + "\n")
		case subsection:
			b.WriteString(".SS " + roffText(x.text) + "\n")
		case paragraph:
			b.WriteString(".PP\n" + roffText(x.text) + "\n")
		case verbatim:
			b.WriteString(".PP\n.RS 4\n.nf\n" + roffText(x.text) + "\n.fi\n.RE\n")
		case item:
			b.WriteString(".TP\n.B " + roffText(x.term) + "\n" + roffText(x.text) + "\n")
		}
	}
	return b.String()
}

// roffText protects what would be a request or an escape.
func roffText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

// markdown writes the page for reading in a browser.
func markdown(blocks []block) string {
	var b strings.Builder
	b.WriteString("# netbraid(8)\n")
	prev := section
	for _, x := range blocks {
		if x.kind != item || prev != item {
			b.WriteString("\n")
		}
		prev = x.kind
		switch x.kind {
		case section:
			b.WriteString("## " + x.text + "\n")
		case subsection:
			b.WriteString("### `" + x.text + "`\n")
		case paragraph:
			b.WriteString(markdownText(x.text) + "\n")
		case verbatim:
			b.WriteString("```\n" + x.text + "\n```\n")
		case item:
			b.WriteString("- `" + x.term + "`: " + markdownText(x.text) + "\n")
		}
	}
	return b.String()
}

func markdownText(s string) string {
	return strings.NewReplacer("<", "\\<", "*", "\\*", "_", "\\_").Replace(s)
}
