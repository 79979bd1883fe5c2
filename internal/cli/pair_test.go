package cli

import (
	"strings"
	"testing"

	"netbraid/ubus"
)

// TestPairs shows what netbraid.pair status answers: as a table, one pair in
// full, and the routes.
func TestPairs(t *testing.T) {
	answer := recorded(t, "pair.status.json")
	planes, left := tables(answer, "dataplanes"), tables(answer, "left-behind")
	var b strings.Builder
	one := withPairs(planes)
	for _, f := range []func() error{
		func() error { return writePairs(&b, planes, left, false, false) },
		func() error { return writePairs(&b, one[:1], nil, true, false) },
		func() error { return writePlanes(&b, planes, false) },
		func() error { return writePairs(&b, nil, nil, false, false) },
		func() error { return writePairs(&b, nil, left[:1], false, false) },
		func() error { return writePlanes(&b, nil, false) },
	} {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		b.WriteString("----\n")
	}
	golden(t, "testdata/pair.golden", b.String())
	b.Reset()
	if err := writePairs(&b, planes, left, false, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\x1b[32mup\x1b[0m", "\x1b[33mwaiting for phy\x1b[0m", "\x1b[31mvpp: table 7: refused (2 attempts, next in 4000 ms)\x1b[0m"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

// TestSwitches shows what netbraid.ovs status answers.
func TestSwitches(t *testing.T) {
	var b strings.Builder
	for _, list := range [][]ubus.Table{tables(recorded(t, "ovs.status.json"), "bridges"), nil} {
		if err := writeSwitches(&b, list, false); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "testdata/ovs.golden", b.String())
}
