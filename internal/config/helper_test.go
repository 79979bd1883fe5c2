package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbraid/internal/model"
	"netbraid/rtnl"
	"netbraid/uci"
)

// parseText parses the text of a file; its name in problems is "net".
func parseText(t testing.TB, text string, opts Options) (*Config, []Problem) {
	t.Helper()
	pkg, err := uci.Parse("network", []byte(text), uci.Options{})
	if err != nil {
		t.Fatalf("the test's own text: %v\n%s", err, text)
	}
	return Parse(pkg, "net", opts)
}

// loadText writes the text to a directory and loads it from there.
func loadText(t testing.TB, text string) (*Config, []Problem, string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "network")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, problems, err := Load(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return cfg, problems, path
}

func texts(problems []Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

func (c *Config) device(name string) *Device {
	for _, d := range c.Devices {
		if d.Name == name {
			return d
		}
	}
	return nil
}

func (c *Config) iface(name string) *Interface {
	for _, i := range c.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return nil
}

// showSettings prints what settings ask for.
func showSettings(s *model.Settings) string {
	var out []string
	l := &s.Link
	for _, f := range []struct {
		f rtnl.LinkField
		s string
	}{
		{rtnl.LinkMTU, fmt.Sprint("mtu=", l.MTU)}, {rtnl.LinkAddr, "addr=" + l.Addr.String()}, {rtnl.LinkTxQLen, fmt.Sprint("txqlen=", l.TxQLen)},
		{rtnl.LinkPromisc, fmt.Sprint("promisc=", l.Flags&0x100 != 0)}, {rtnl.LinkMulticast, fmt.Sprint("multicast=", l.Flags&0x1000 != 0)},
		{rtnl.PortMcastToUnicast, fmt.Sprint("m2u=", l.Port.McastToUnicast)}, {rtnl.PortMcastRouter, fmt.Sprint("mrouter=", l.Port.McastRouter)},
		{rtnl.PortFastLeave, fmt.Sprint("fastleave=", l.Port.FastLeave)}, {rtnl.PortLearning, fmt.Sprint("learning=", l.Port.Learning)},
		{rtnl.PortUnicastFlood, fmt.Sprint("uflood=", l.Port.UnicastFlood)}, {rtnl.PortBcastFlood, fmt.Sprint("bflood=", l.Port.BcastFlood)},
		{rtnl.PortIsolated, fmt.Sprint("isolated=", l.Port.Isolated)},
	} {
		if s.Fields&f.f != 0 {
			out = append(out, f.s)
		}
	}
	for _, c := range s.Sysctl {
		out = append(out, c.Name+"="+c.Value)
	}
	return strings.Join(out, " ")
}

// parseFile parses a recorded configuration as "net".
func parseFile(t testing.TB, path string) (*Config, []Problem) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseText(t, string(text), Options{})
}
