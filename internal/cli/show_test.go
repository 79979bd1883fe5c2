package cli

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netbraid/ubus"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/netbraid.8.md")

// golden compares text with a file, or writes it with -update.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s (-want +got; -update rewrites it):\n%s", path, d)
	}
}

// recorded is an answer that OpenWrt's netifd gave.
func recorded(t testing.TB, name string) ubus.Table {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	tab, err := ubus.FromJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// TestRecorded shows what netifd answered: the same tool reads both daemons.
func TestRecorded(t *testing.T) {
	var b strings.Builder
	list := tables(recorded(t, "recorded.interface.dump.json"), "interface")
	if err := writeInterfaces(&b, list, false); err != nil {
		t.Fatal(err)
	}
	for _, x := range list {
		if i := interfaceInfo(x); i.name == "wan" || i.name == "badaddr" {
			b.WriteString("\n")
			if err := writeInterface(&b, &i, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	golden(t, "testdata/interfaces.golden", b.String())

	b.Reset()
	devs := recorded(t, "recorded.device.status.json")
	if err := writeDevices(&b, devs, false); err != nil {
		t.Fatal(err)
	}
	one, _ := devs.Table("br-lan")
	if err := writeDevice(&b, "br-lan", one, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/devices.golden", b.String())
}

func TestInterfaceState(t *testing.T) {
	for _, c := range []struct {
		json, state string
		style       style
	}{
		{`{"up":true,"autostart":true,"available":true}`, "up", green},
		{`{"up":true,"autostart":true,"available":true,"errors":[{"code":"NETLINK_FAILED"}]}`, "up", yellow},
		{`{"up":false,"pending":true,"autostart":true,"available":true}`, "starting", yellow},
		{`{"up":false,"autostart":true,"available":true}`, "down", red},
		{`{"up":false,"autostart":true,"available":false,"errors":[{"code":"NO_DEVICE"}]}`, "no device", red},
		{`{"up":false,"autostart":true,"available":false,"errors":[{"code":"INVALID_PROTO"}]}`, "invalid", red},
		{`{"up":false,"autostart":false,"available":false}`, "off", dim},
	} {
		tab, err := ubus.FromJSON([]byte(c.json))
		if err != nil {
			t.Fatal(err)
		}
		i := interfaceInfo(tab)
		if s, st := i.state(); s != c.state || st != c.style {
			t.Errorf("%s: %q %q, not %q %q", c.json, s, st, c.state, c.style)
		}
	}
}

func TestProblemInWords(t *testing.T) {
	for json, want := range map[string]string{
		`{"code":"NO_DEVICE"}`:                                     "its device is not there",
		`{"code":"INVALID_ADDRESS","data":["300.1.2.3"]}`:          "300.1.2.3: not an IP address",
		`{"code":"STRANGE"}`:                                       "STRANGE",
		`{"code":"NOT_KEPT","data":["eth0"],"message":"is 100"}`:   "eth0: is 100",
		`{"code":"NO_DEVICE","message":"there is no device eth9"}`: "there is no device eth9",
	} {
		tab, err := ubus.FromJSON([]byte(json))
		if err != nil {
			t.Fatal(err)
		}
		if got := problemInfo(tab).text; got != want {
			t.Errorf("%s: %q, not %q", json, got, want)
		}
	}
}

func TestDevices(t *testing.T) {
	for _, c := range []struct{ json, state, kind, of, speed string }{
		{`{"present":true,"up":true,"carrier":true,"type":"8021q","parent":"eth0","vid":5,"speed":"1000F"}`, "up", "8021q", "VLAN 5 on eth0", "1G"},
		{`{"present":true,"up":true,"carrier":false,"type":"macvlan","parent":"eth0","speed":"-1F"}`, "no carrier", "macvlan", "on eth0", ""},
		{`{"present":true,"up":false,"type":"veth","peer":"veth1","speed":"2500F"}`, "down", "veth", "peer veth1", "2.5G"},
		{`{"present":false,"type":"Network device","speed":"100H"}`, "absent", "device", "", "100M half"},
	} {
		tab, err := ubus.FromJSON([]byte(c.json))
		if err != nil {
			t.Fatal(err)
		}
		state, _ := devState(tab)
		kind, of := devKind(tab)
		if d := cmp.Diff([]string{c.state, c.kind, c.of, c.speed}, []string{state, kind, of, speedOf(tab)}); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.json, d)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 60 * time.Second: "1m00s", 3599 * time.Second: "59m59s",
		3600 * time.Second: "1h00m", 86399 * time.Second: "23h59m", 86400 * time.Second: "1d00h", 100 * 24 * time.Hour: "100d00h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: %q, not %q", d, got, want)
		}
	}
}

func TestOctets(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1048575: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 60: "1048576.0 TiB",
	} {
		if got := octets(n); got != want {
			t.Errorf("%d: %q, not %q", n, got, want)
		}
	}
}

// TestTable: columns line up by what is seen, not by octets or colour codes;
// an empty column is left out.
func TestTable(t *testing.T) {
	tab := table{head: []string{"A", "EMPTY", "B"}}
	tab.row(cell{"ä→", green}, cell{}, text("x"))
	tab.note(red, "! note")
	tab.row(text("long"), cell{}, cell{})
	var plainText, colour strings.Builder
	if err := tab.write(&plainText, false); err != nil {
		t.Fatal(err)
	}
	if err := tab.write(&colour, true); err != nil {
		t.Fatal(err)
	}
	if want := "A     B\nä→    x\n  ! note\nlong\n"; plainText.String() != want {
		t.Errorf("%q, not %q", plainText.String(), want)
	}
	if want := "\x1b[2mA\x1b[0m     \x1b[2mB\x1b[0m\n\x1b[32mä→\x1b[0m    x\n  \x1b[31m! note\x1b[0m\nlong\n"; colour.String() != want {
		t.Errorf("%q, not %q", colour.String(), want)
	}
}

// FuzzAnswers: whatever a daemon answers, showing it does not panic.
func FuzzAnswers(f *testing.F) {
	f.Add(recorded(f, "recorded.interface.dump.json").Encode())
	f.Add(recorded(f, "recorded.device.status.json").Encode())
	f.Add(mirrorAnswer(f).Encode())
	f.Add(ubus.Table{{Name: "interface", Value: ubus.Array{ubus.Table{
		{Name: "ipv4-address", Value: ubus.Array{ubus.Table{{Name: "address", Value: "x"}, {Name: "mask", Value: int32(-1)}}}},
		{Name: "route", Value: ubus.Array{ubus.Table{{Name: "target", Value: "::"}, {Name: "mask", Value: int32(0)}, {Name: "nexthop", Value: "y"}}}},
		{Name: "errors", Value: ubus.Array{ubus.Table{}}}}}}}.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		tab := ubus.DecodeTable(b)
		var out strings.Builder
		_ = writeInterfaces(&out, append(tables(tab, "interface"), tab), true)
		i := interfaceInfo(tab)
		_ = writeInterface(&out, &i, true)
		_ = writeDevices(&out, tab, true)
		_ = writeDevice(&out, "x", tab, true)
		_ = problemOf(tab)
		_ = writeMirrors(&out, append(tables(tab, "namespaces"), tab), true)
	})
}
