package api

import (
	"testing"

	"netbraid/ubus"
)

// kernelModes are the names of the first bits, as ETH_SS_LINK_MODES gives
// them, with some that are no mode.
var kernelModes = []string{"10baseT/Half", "10baseT/Full", "100baseT/Half", "100baseT/Full", "1000baseT/Half", "1000baseT/Full",
	"Autoneg", "TP", "AUI", "MII", "FIBRE", "BNC", "10000baseT/Full", "Pause", "Asym_Pause", "2500baseX/Full", "Backplane",
	"1000baseKX/Full", "5000baseT/Full", "10baseT1L/Full", "10baseT1S/Half", "", "xbaseT/Full", "100base/Full", "40000baseX/Odd"}

func mask(names ...string) modeMask {
	m := make(modeMask, 4)
	for _, n := range names {
		for bit, k := range kernelModes {
			if k == n {
				m[bit/32] |= 1 << (bit % 32)
			}
		}
	}
	return m
}

func text(v any) string { return string(ubus.AppendJSON(nil, v, false)) }

func TestLinkModesInNetifdsOrder(t *testing.T) {
	all := modeMask{0xffffffff, 0xffffffff}
	got := text(parseModes(kernelModes).list(all))
	want := `["10baseT-H","10baseT-F","10baseT1L-F","10baseT1S-H","100baseT-H","100baseT-F","1000baseT-H","1000baseT-F","1000baseKX-F",` +
		`"2500baseX-F","5000baseT-F","10000baseT-F"]`
	if got != want {
		t.Errorf("modes:\n%s\nwant\n%s", got, want)
	}
	if got := text(parseModes(kernelModes).list(nil)); got != "[]" {
		t.Errorf("modes of no mask: %s", got)
	}
}

func TestLinkSettings(t *testing.T) {
	names := parseModes(kernelModes)
	for _, c := range []struct {
		name string
		s    LinkSettings
		want string
	}{
		{"copper, negotiated", LinkSettings{Speed: 1000, Autoneg: true, PauseAutoneg: true, Supported: mask("100baseT/Full", "1000baseT/Full", "Pause", "Asym_Pause"),
			Advertising: mask("1000baseT/Full", "Pause"), Partner: mask("1000baseT/Full", "Pause")},
			`{"link-advertising":["1000baseT-F"],"link-partner-advertising":["1000baseT-F"],"link-supported":["100baseT-F","1000baseT-F"],` +
				`"speed":"1000F","autoneg":true,"flow-control":{"autoneg":true,"supported":["pause","asym_pause"],"link-advertising":["pause"],` +
				`"link-partner-advertising":["pause"],"negotiated":["rx","tx"]}}`},
		{"half duplex, pause set by hand", LinkSettings{Speed: 10, Half: true, TxPause: true},
			`{"link-advertising":[],"link-partner-advertising":[],"link-supported":[],"speed":"10H","autoneg":false,` +
				`"flow-control":{"autoneg":false,"supported":[],"link-partner-advertising":[],"selected":["tx"]}}`},
		{"no link", LinkSettings{Speed: speedUnknown, PauseAutoneg: true},
			`{"link-advertising":[],"link-partner-advertising":[],"link-supported":[],"autoneg":false,` +
				`"flow-control":{"autoneg":true,"supported":[],"link-advertising":[],"link-partner-advertising":[],"negotiated":[]}}`},
	} {
		c.s.names = names
		if got := text(c.s.fields()); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestPauseResolution goes through IEEE 802.3, table 28B-3: what each side
// advertises, and in which directions pause frames are used here.
func TestPauseResolution(t *testing.T) {
	for _, c := range []struct {
		ours, theirs []string
		want         string
	}{
		{nil, []string{"Pause", "Asym_Pause"}, `[]`},
		{[]string{"Asym_Pause"}, []string{"Pause"}, `[]`},
		{[]string{"Asym_Pause"}, []string{"Asym_Pause"}, `[]`},
		{[]string{"Asym_Pause"}, []string{"Pause", "Asym_Pause"}, `["tx"]`},
		{[]string{"Pause"}, []string{"Asym_Pause"}, `[]`},
		{[]string{"Pause"}, []string{"Pause"}, `["rx","tx"]`},
		{[]string{"Pause", "Asym_Pause"}, []string{"Asym_Pause"}, `["rx"]`},
		{[]string{"Pause", "Asym_Pause"}, []string{"Pause", "Asym_Pause"}, `["rx","tx"]`},
		{[]string{"Pause", "Asym_Pause"}, nil, `[]`},
	} {
		s := LinkSettings{Advertising: mask(c.ours...), Partner: mask(c.theirs...)}
		if got := text(direction(s.negotiated())); got != c.want {
			t.Errorf("ours %v, theirs %v: %s, want %s", c.ours, c.theirs, got, c.want)
		}
	}
}
