package router

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbraid/internal/birdtest"
	"netbraid/internal/nstest"
)

// both is what the two routers have in common: OSPF and BGP with each other on
// one link, with short timers.
const both = `
log "%[1]s/log" all;
router id %[2]s;
protocol device { scan time 1; }
protocol kernel k4 { scan time 3600; ipv4 { import none; export where source ~ [ RTS_BGP, RTS_OSPF, RTS_OSPF_EXT1, RTS_OSPF_EXT2 ]; }; }
protocol kernel k6 { scan time 3600; ipv6 { import none; export where source ~ [ RTS_BGP, RTS_OSPF, RTS_OSPF_EXT1, RTS_OSPF_EXT2 ]; }; }
protocol direct { ipv4; ipv6; interface "%[3]s"; }
protocol ospf v2 { ipv4 { import all; export none; }; area 0 { interface "%[4]s" { hello 1; dead count 4; }; }; }
protocol ospf v3 { ipv6 { import all; export none; }; area 0 { interface "%[4]s" { hello 1; dead count 4; }; }; }
protocol bgp peer {
	local %[5]s as %[6]d; neighbor %[7]s as %[8]d;
	hold time 9; connect delay time 1; connect retry time 1; error wait time 1,2;
	ipv4 { import all; export where source ~ [ RTS_STATIC, RTS_DEVICE ]; next hop self; };
}
protocol bgp peer6 {
	local %[9]s as %[6]d; neighbor %[10]s as %[8]d;
	hold time 9; connect delay time 1; connect retry time 1; error wait time 1,2;
	ipv6 { import all; export where source ~ [ RTS_STATIC, RTS_DEVICE ]; next hop self; };
}
`

// newBird writes the configuration of a router, whose first argument is the
// folder.
func newBird(t testing.TB, ns *nstest.NS, format string, a ...any) *birdtest.Bird {
	t.Helper()
	b := birdtest.New(t, ns)
	b.Config(fmt.Sprintf(format, append([]any{b.Dir}, a...)...))
	return b
}

// established tells which session is not; empty when both are, and OSPF's too.
func established(b *birdtest.Bird) string {
	out, err := b.Try("show protocols")
	if err != nil {
		return err.Error()
	}
	if n := strings.Count(out, "Established"); n != 2 {
		return out
	}
	for _, p := range []string{"ospf1", "ospf2"} {
		if n, err := b.Try("show ospf neighbors " + p); err != nil || !strings.Contains(n, "Full/") {
			return fmt.Sprint(n, err)
		}
	}
	return ""
}

// manyRoutes writes a file of static routes.
func manyRoutes(t testing.TB, n int, gateway string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.conf")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, "route %d.%d.%d.0/24 via %s;\n", 20+i>>16, i>>8&255, i&255, gateway)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}
