package ovsdb

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"netbraid/internal/model"
)

// BenchmarkPorts measures how long it takes until PORTS ports (of type
// internal, on the userspace datapath) are there, by three ways: a reload of
// ours; one call of ovs-vsctl with all of them; one call for each. Each way has
// an Open vSwitch of its own each time, and they take turns for ROUNDS rounds
// (the calls for each: one). Medians, in milliseconds.
func BenchmarkPorts(b *testing.B) {
	ports, rounds := fromEnv(b, "PORTS", 1000), fromEnv(b, "ROUNDS", 5)
	ways := []func(*world, []string) time.Duration{addOurs, addOnce, addEach}
	for range b.N {
		var took [3][]float64
		for round := range rounds {
			for i, way := range ways {
				if i == 2 && round > 0 {
					continue
				}
				w := newWorld(b)
				w.Vsctl("add-br br0 -- set bridge br0 datapath_type=netdev")
				var names []string
				for i := range ports {
					names = append(names, fmt.Sprintf("p%d", i))
				}
				d := way(w, names)
				took[i] = append(took[i], d.Seconds()*1000)
				if n := len(strings.Fields(w.Vsctl("list-ports br0"))); n != ports {
					b.Errorf("%d ports, not %d", n, ports)
				}
				w.Vswitchd.Kill()
				w.Server.Kill()
				w.ns.Close()
				time.Sleep(time.Second) // the kernel takes the devices away
			}
		}
		ours, once, each := median(took[0]), median(took[1]), median(took[2])
		b.ReportMetric(ours, "ms-netbraid")
		b.ReportMetric(once, "ms-one-vsctl")
		b.ReportMetric(each, "ms-vsctl-each")
		b.ReportMetric(each/ours, "x-each")
		b.ReportMetric(once/ours, "x-one")
		b.Logf("%d ports: netbraid %.0f, one ovs-vsctl %.0f, ovs-vsctl for each %.0f", ports, took[0], took[1], took[2])
	}
}

func fromEnv(b testing.TB, name string, def int) int {
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		b.Fatalf("%s=%s is no number", name, s)
	}
	return n
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// addOurs measures from the Set of a reload to the report that all are there.
func addOurs(w *world, names []string) time.Duration {
	r := w.backend()
	r.Set([]model.Switch{w.bridge("br0")})
	r.wait("br0 there")
	all := make(chan struct{}, 1)
	r.watch(func(s model.SwitchState) {
		if len(s.Ports) == len(names) && !slices.ContainsFunc(s.Ports, func(p model.SwitchPortState) bool { return p.Number == 0 }) {
			select {
			case all <- struct{}{}:
			default:
			}
		}
	})
	want := []model.Switch{w.bridge("br0", internal(names...)...)}
	slices.SortFunc(want[0].Ports, func(a, b model.SwitchPort) int { return compare(a.Name, b.Name) })
	start := time.Now()
	r.Set(want)
	select {
	case <-all:
	case <-time.After(waitTime):
		w.t.Fatalf("not there: %.500s", line(r.state("br0")))
	}
	d := time.Since(start)
	if n := strings.Count(r.said(), "ovsdb: wrote"); n != 1 {
		w.t.Fatalf("%d transactions, not one:\n%s", n, r.said())
	}
	return d
}

func portArgs(name string) []string {
	return []string{"--", "add-port", "br0", name, "--", "set", "interface", name, "type=internal"}
}

func addOnce(w *world, names []string) time.Duration {
	var args []string
	for _, n := range names {
		args = append(args, portArgs(n)...)
	}
	start := time.Now()
	if out, err := w.Try(args...); err != nil {
		w.t.Fatal(err, out)
	}
	return time.Since(start)
}

func addEach(w *world, names []string) time.Duration {
	start := time.Now()
	for _, n := range names {
		if out, err := w.Try(portArgs(n)...); err != nil {
			w.t.Fatal(err, out)
		}
	}
	return time.Since(start)
}
