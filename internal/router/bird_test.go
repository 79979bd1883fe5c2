package router

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// bird is a BIRD of its own in a namespace.
type bird struct {
	t   testing.TB
	ns  *nstest.NS
	dir string
	cmd *exec.Cmd
}

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

// newBird writes the configuration of a router.
func newBird(t testing.TB, ns *nstest.NS, format string, a ...any) *bird {
	t.Helper()
	if _, err := exec.LookPath("bird"); err != nil {
		t.Skip("needs BIRD: scripts/deps installs it")
	}
	b := &bird{t: t, ns: ns, dir: t.TempDir()}
	conf := fmt.Sprintf(format, append([]any{b.dir}, a...)...)
	if err := os.WriteFile(filepath.Join(b.dir, "bird.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bird) start() {
	b.t.Helper()
	b.cmd = exec.Command("bird", "-f", "-c", filepath.Join(b.dir, "bird.conf"), "-s", filepath.Join(b.dir, "ctl"))
	var out strings.Builder
	b.cmd.Stdout, b.cmd.Stderr = &out, &out
	if err := b.ns.Do(b.cmd.Start); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.kill)
	nstest.Eventually(b.t, 10*time.Second, func() string {
		if _, err := b.try("show status"); err != nil {
			return fmt.Sprint(err, " ", out.String())
		}
		return ""
	})
}

func (b *bird) kill() {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill()
		_ = b.cmd.Wait()
		b.cmd = nil
	}
}

func (b *bird) try(line string) (string, error) {
	return b.ns.Try("birdc", append([]string{"-s", filepath.Join(b.dir, "ctl")}, strings.Fields(line)...)...)
}

// established tells which session is not; empty when both are, and OSPF's too.
func (b *bird) established() string {
	out, err := b.try("show protocols")
	if err != nil {
		return err.Error()
	}
	if n := strings.Count(out, "Established"); n != 2 {
		return out
	}
	for _, p := range []string{"ospf1", "ospf2"} {
		if n, err := b.try("show ospf neighbors " + p); err != nil || !strings.Contains(n, "Full/") {
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
