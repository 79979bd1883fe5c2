package uci

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// config is a mix of interfaces, devices and routes with five options each.
func config(sections int) []byte {
	var b strings.Builder
	for i := range sections {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "config interface 'lan%d'\n\toption device 'br-lan.%d'\n\toption proto 'static'\n"+
				"\toption ipaddr '10.%d.%d.1'\n\toption netmask '255.255.255.0'\n\tlist dns '192.0.2.1'\n\n", i, i, i>>8&255, i&255)
		case 1:
			fmt.Fprintf(&b, "# bridge %d\nconfig device\n\toption name 'br%d'\n\toption type 'bridge'\n"+
				"\tlist ports 'eth%d'\n\tlist ports 'eth%d'\n\toption mtu 1500\n\n", i, i, i, i+1)
		default:
			fmt.Fprintf(&b, "config route\n\toption interface \"lan%d\"\n\toption target '198.51.%d.0/24'\n"+
				"\toption gateway '10.0.0.%d'\n\toption metric '%d'\n\toption table 'main'\n\n", i-2, i&255, i&255, i)
		}
	}
	return []byte(b.String())
}

func benchmarkParse(b *testing.B, sections int) {
	data := config(sections)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := Parse("network", data, Options{})
		if err != nil || len(p.Sections) != sections {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(sections), "ns/section")
}

func BenchmarkParse1000(b *testing.B)  { benchmarkParse(b, 1000) }
func BenchmarkParse4000(b *testing.B)  { benchmarkParse(b, 4000) }
func BenchmarkParse16000(b *testing.B) { benchmarkParse(b, 16000) }

func BenchmarkDocument4000(b *testing.B) {
	data := config(4000)
	b.ReportAllocs()
	for b.Loop() {
		d, err := ParseDocument("network", data, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Set("lan0", "proto", "none"); err != nil {
			b.Fatal(err)
		}
		if len(d.Bytes()) == 0 {
			b.Fatal("nothing")
		}
	}
}

// TestLargeInputs: inputs of a few megabytes that would take minutes if
// anything were quadratic.
func TestLargeInputs(t *testing.T) {
	const n = 200_000
	var names, options strings.Builder
	options.WriteString("config s n\n")
	for i := range n {
		fmt.Fprintf(&names, "config s n%d\n", i)
		fmt.Fprintf(&options, "option o%d %d\n", i, i)
	}
	inputs := map[string]string{
		"named sections":   names.String(),
		"options":          options.String(),
		"list values":      "config s n\n" + strings.Repeat("list l v\n", n),
		"one section":      strings.Repeat("config s n\n", n),
		"one option":       "config s n\n" + strings.Repeat("option a b\noption a c\n", n/2),
		"many lines":       "config s n\noption a '" + strings.Repeat("x\n", n) + "'\n",
		"joined lines":     "config s n\noption a " + strings.Repeat("x\\\n", n) + "\n",
		"pieces":           "config s n\noption a " + strings.Repeat("'x'\"y\"", n) + "\n",
		"commands in line": "config s n" + strings.Repeat(" ;option a 'b'", n) + "\n",
		"blank":            strings.Repeat(" \t", 5*n),
		"open quotes":      "config s n\n" + strings.Repeat("option a x'\n", n),
		"bad lines":        strings.Repeat("option a 'x'y\n", n),
	}
	for name, in := range inputs {
		start := time.Now()
		p, err := Parse("t", []byte(in), Options{NonStrict: true})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		out := p.Canonical()
		if d, err := ParseDocument("t", []byte(in), Options{}); err == nil {
			if err := d.Set("n", "a", "z"); err != nil && p.Section("n") != nil {
				t.Errorf("%s: %v", name, err)
			}
			out = append(out, d.Bytes()...)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v for %d bytes, %d written", name, took, len(in), len(out))
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
