package nstest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"netbraid/rtnl"
)

// NS is a network namespace of a test.
type NS struct {
	*rtnl.NS
	t testing.TB
}

// New makes a namespace; it goes with the test. Without root the test is
// skipped, with the reason.
func New(t testing.TB) *NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	ns, err := rtnl.NewNS()
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	return &NS{ns, t}
}

// commandTimeout bounds every command of a test.
const commandTimeout = 60 * time.Second

// Try runs a command inside the namespace and returns its output.
func (n *NS) Try(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	// A child inherits the namespace of the thread that starts it.
	if err := n.Do(cmd.Start); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

// Run runs a command line (split at blanks) and fails the test when it fails.
func (n *NS) Run(line string) string {
	n.t.Helper()
	f := strings.Fields(line)
	out, err := n.Try(f[0], f[1:]...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// IP runs `ip` with the words of line.
func (n *NS) IP(line string) string {
	n.t.Helper()
	return n.Run("ip " + line)
}

// JSON runs `ip -j` with the words of line and decodes what it prints.
func (n *NS) JSON(line string) []map[string]any {
	n.t.Helper()
	var v []map[string]any
	out := n.Run("ip -j " + line)
	if strings.TrimSpace(out) == "" {
		return nil
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		n.t.Fatalf("ip -j %s: %v: %q", line, err, out)
	}
	return v
}

// Veth makes a pair: name here, peer in the other namespace (or here, for
// nil), the peer up.
func (n *NS) Veth(name, peer string, other *NS) {
	n.t.Helper()
	if other == nil {
		n.IP(fmt.Sprintf("link add %s type veth peer name %s", name, peer))
		n.IP("link set " + peer + " up")
		return
	}
	path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.FD())
	n.IP(fmt.Sprintf("link add %s type veth peer name %s netns %s", name, peer, path))
	other.IP("link set " + peer + " up")
}

// Eventually calls f until it returns "" or the time is over; then the test
// fails with what f last said.
func Eventually(t testing.TB, d time.Duration, f func() string) {
	t.Helper()
	deadline := time.Now().Add(d)
	for {
		why := f()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", d, why)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Addrs lists the addresses of a device that are not link-local, as
// "192.0.2.1/24", in the kernel's order.
func (n *NS) Addrs(dev string) []string {
	n.t.Helper()
	out, err := n.Try("ip", "-j", "addr", "show", "dev", dev)
	if err != nil {
		return nil
	}
	var links []struct {
		AddrInfo []struct {
			Local     string
			Prefixlen int
			Scope     string
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(out), &links); err != nil || len(links) == 0 {
		return nil
	}
	var list []string
	for _, a := range links[0].AddrInfo {
		if a.Scope != "link" {
			list = append(list, fmt.Sprintf("%s/%d", a.Local, a.Prefixlen))
		}
	}
	return list
}
