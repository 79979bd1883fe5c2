package bench

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// figure is one line of the table at the end.
type figure struct {
	name   string
	value  float64
	unit   string
	limit  float64
	least  bool // the limit is a lower one
	detail string
}

var (
	figuresMu sync.Mutex
	figures   []figure
	leftOut   []string
)

// atMost notes a figure and reports it as a metric of b.
func atMost(b *testing.B, name string, value float64, unit string, limit float64, detail string, args ...any) {
	note(b, figure{name, value, unit, limit, false, fmt.Sprintf(detail, args...)})
}

// atLeast is atMost with a lower limit.
func atLeast(b *testing.B, name string, value float64, unit string, limit float64, detail string, args ...any) {
	note(b, figure{name, value, unit, limit, true, fmt.Sprintf(detail, args...)})
}

func note(b *testing.B, f figure) {
	figuresMu.Lock()
	defer figuresMu.Unlock()
	figures = append(figures, f)
	b.Logf("%s: %s (%s)", f.name, f.measured(), f.detail)
}

// leaveOut notes a comparison that cannot be made here.
func leaveOut(b *testing.B, name, why string) {
	figuresMu.Lock()
	defer figuresMu.Unlock()
	leftOut = append(leftOut, fmt.Sprintf("| %s | left out | | %s |", name, why))
	b.Logf("%s: left out: %s", name, why)
}

func (f figure) measured() string { return digits(f.value) + f.unit }

// digits prints three digits, more of large numbers.
func digits(v float64) string {
	if v == 0 || math.Abs(v) >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	if math.Abs(v) < 0.01 {
		return fmt.Sprintf("%.1g", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// holds says whether the limit is kept.
func (f figure) holds() bool {
	if f.least {
		return f.value >= f.limit
	}
	return f.value <= f.limit
}

func (f figure) line() string {
	verdict, sign := "**missed**", "≤"
	if f.holds() {
		verdict = "holds"
	}
	if f.least {
		sign = "≥"
	}
	limit := fmt.Sprintf("%s %s%s: %s", sign, digits(f.limit), f.unit, verdict)
	return fmt.Sprintf("| %s | %s | %s | %s |", f.name, f.measured(), limit, f.detail)
}

// printTable prints what was measured, for the README.
func printTable(w io.Writer) {
	figuresMu.Lock()
	defer figuresMu.Unlock()
	if len(figures)+len(leftOut) == 0 {
		return
	}
	fmt.Fprint(w, "\n| figure | measured | limit | in full |\n| --- | --- | --- | --- |\n")
	for _, f := range figures {
		fmt.Fprintln(w, f.line())
	}
	for _, line := range leftOut {
		fmt.Fprintln(w, line)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(w, "\n%d processors, load averages and processes at the end %s", runtime.NumCPU(), load)
	if r := routesWanted(); r != million {
		fmt.Fprintf(w, "\nMeasured with %d routes: the limits are for %d.\n", r, million)
	}
}

// median of what is not empty.
func median[T cmp.Ordered](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// percentile p (0 to 1) of what is not empty.
func percentile(v []float64, p float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[min(int(p*float64(len(s))), len(s)-1)]
}

// ratio is the median of the ratios of rounds that were measured next to each
// other: a machine that is slower for a while is so for both.
func ratio(a, b []float64) float64 {
	var r []float64
	for i := range a {
		r = append(r, a[i]/b[i])
	}
	return median(r)
}
