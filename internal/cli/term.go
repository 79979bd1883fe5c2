package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// style is how a piece of text looks on a terminal.
type style string

// The styles, as SGR parameters (ECMA-48).
const (
	plain  style = ""
	bold   style = "1"
	dim    style = "2"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
)

// colours tells whether w is a terminal whose user wants colours
// (https://no-color.org).
func colours(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (s style) paint(text string, on bool) string {
	if !on || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// cell is one place in a table.
type cell struct {
	text  string
	style style
}

func text(s string) cell { return cell{text: s} }

// table is text in columns. A note is a line of its own below the rows so
// far, outside of the columns.
type table struct {
	head   []string
	rows   []tableRow
	indent bool // by two columns
}

type tableRow struct {
	cells []cell
	note  *cell
}

func (t *table) row(cells ...cell)         { t.rows = append(t.rows, tableRow{cells: cells}) }
func (t *table) note(s style, text string) { t.rows = append(t.rows, tableRow{note: &cell{text, s}}) }
func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(s)))
}
func (t *table) widths() []int {
	var w []int
	grow := func(i int, s string) {
		for len(w) <= i {
			w = append(w, 0)
		}
		w[i] = max(w[i], utf8.RuneCountInString(s))
	}
	for i, h := range t.head {
		grow(i, h)
	}
	for _, r := range t.rows {
		for i, c := range r.cells {
			grow(i, c.text)
		}
	}
	return w
}

// write prints the table; columns that hold nothing in any row are left out.
func (t *table) write(w io.Writer, colour bool) error {
	widths := t.widths()
	used := make([]bool, len(widths))
	for _, r := range t.rows {
		for i, c := range r.cells {
			used[i] = used[i] || c.text != ""
		}
	}
	line := func(cells []cell) string {
		var b, gap strings.Builder
		if t.indent {
			gap.WriteString("  ")
		}
		for i, c := range cells {
			if !used[i] {
				continue
			}
			if c.text != "" {
				b.WriteString(gap.String())
				gap.Reset()
				b.WriteString(c.style.paint(c.text, colour))
			}
			gap.WriteString(pad("", widths[i]-utf8.RuneCountInString(c.text)+2))
		}
		return b.String() + "\n"
	}
	var out strings.Builder
	if len(t.head) > 0 {
		head := make([]cell, len(t.head))
		for i, h := range t.head {
			head[i] = cell{h, dim}
		}
		out.WriteString(line(head))
	}
	for _, r := range t.rows {
		if r.note != nil {
			out.WriteString("  " + r.note.style.paint(r.note.text, colour) + "\n")
			continue
		}
		out.WriteString(line(r.cells))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// duration is a time span in its two largest units: 7s, 2m03s, 5h12m, 3d04h.
func duration(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", max(s, 0))
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}

// octets is a count of octets in the largest binary unit.
func octets(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	v := float64(n)
	for _, unit := range []string{"KiB", "MiB", "GiB", "TiB"} {
		v /= 1024
		if v < 1023.95 || unit == "TiB" {
			return fmt.Sprintf("%.1f %s", v, unit)
		}
	}
	return ""
}
