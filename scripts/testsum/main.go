package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	failed, err := summarize(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testsum:", err)
	}
	if failed || err != nil {
		os.Exit(1)
	}
}

// event is a line of go test -json (go doc test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

type summary struct {
	w                       io.Writer
	output                  map[string][]string // of a test, or of a package
	passed, failed, skipped int
	bad                     bool                // also a package that does not build
	reasons                 map[string][]string // why → the tests skipped
}

func summarize(r io.Reader, w io.Writer) (failed bool, err error) {
	s := &summary{w: w, output: map[string][]string{}, reasons: map[string][]string{}}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			var ev event
			if json.Unmarshal([]byte(line), &ev) != nil || ev.Action == "" {
				fmt.Fprint(w, line) // not from go test
			} else {
				s.take(&ev)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return true, err
		}
	}
	s.end()
	return s.bad, nil
}

func (s *summary) take(ev *event) {
	key := ev.Package + " " + ev.Test
	switch ev.Action {
	case "output":
		s.output[key] = append(s.output[key], ev.Output)
	case "build-output":
		fmt.Fprint(s.w, ev.Output)
	case "build-fail":
		s.bad = true
	case "pass", "fail", "skip":
		if ev.Test == "" {
			s.endPackage(ev)
			return
		}
		s.endTest(ev, s.output[key])
		delete(s.output, key)
	}
}

func (s *summary) endTest(ev *event, output []string) {
	switch ev.Action {
	case "pass":
		s.passed++
	case "skip":
		s.skipped++
		why := skipReason(output)
		s.reasons[why] = append(s.reasons[why], strings.TrimPrefix(ev.Package, "netbraid/")+"."+ev.Test)
	case "fail":
		s.failed++
		s.bad = true
		fmt.Fprint(s.w, strings.Join(output, ""))
	}
}

func (s *summary) endPackage(ev *event) {
	if ev.Action == "fail" {
		s.bad = true
		// What was running when it ended (a time-out, a crash) is said by
		// tests that never came to their own end.
		for key, out := range s.output {
			if !strings.HasPrefix(key, ev.Package+" ") {
				continue
			}
			for _, l := range out {
				if !strings.HasPrefix(l, "FAIL\t") && l != "FAIL\n" { // ours is below
					fmt.Fprint(s.w, l)
				}
			}
			delete(s.output, key)
		}
		fmt.Fprintf(s.w, "FAIL\t%s\t%.1fs\n", ev.Package, ev.Elapsed)
		return
	}
	if ev.Action == "pass" {
		fmt.Fprintf(s.w, "ok\t%s\t%.1fs\n", ev.Package, ev.Elapsed)
	}
	delete(s.output, ev.Package+" ")
}

var skipLine = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

// skipReason is what t.Skip said.
func skipReason(output []string) string {
	m := skipLine.FindAllStringSubmatch(strings.Join(output, ""), -1)
	if len(m) == 0 {
		return "no reason given"
	}
	return m[len(m)-1][1]
}

// end writes what was skipped and the counts.
func (s *summary) end() {
	whys := make([]string, 0, len(s.reasons))
	for why := range s.reasons {
		whys = append(whys, why)
	}
	slices.Sort(whys)
	for _, why := range whys {
		tests := s.reasons[why]
		const most = 4
		more := ""
		if len(tests) > most {
			more = fmt.Sprintf(" and %d more", len(tests)-most)
		}
		fmt.Fprintf(s.w, "skipped: %s: %s%s\n", why, strings.Join(tests[:min(most, len(tests))], ", "), more)
	}
	fmt.Fprintf(s.w, "%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
}
