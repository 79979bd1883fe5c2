package rtnl

import (
	"math/bits"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestFieldTable: every LinkField has its entry, at its bit, under a name of
// its own.
func TestFieldTable(t *testing.T) {
	names := map[string]bool{}
	for f := AllLinkFields; f != 0; f &= f - 1 {
		bit := f & -f
		x := fieldOf[bits.TrailingZeros64(uint64(bit))]
		if x == nil {
			t.Errorf("bit %d has no entry", bits.TrailingZeros64(uint64(bit)))
			continue
		}
		if x.bit != bit || names[x.name] {
			t.Errorf("%s: entry of another bit, or a name used twice", x.name)
		}
		names[x.name] = true
	}
	for f, want := range map[LinkField]place{BridgeFields: inBridge, PortFields: inPort, VLANFields: inVLAN, LinkFlagFields: inHeader} {
		f.each(func(x *field) {
			if x.place != want {
				t.Errorf("%s is in the wrong set", x.name)
			}
		})
	}
}

func TestFieldString(t *testing.T) {
	for f, want := range map[LinkField]string{
		0: "", LinkMTU | LinkAddr: "mtu,address", BridgeSTP | LinkUp: "up,stp", VRFTable: "vrf_table", LinkField(1 << 63): "",
	} {
		if got := f.String(); got != want {
			t.Errorf("%#x prints as %q, want %q", uint64(f), got, want)
		}
	}
	if n := len(strings.Split(AllLinkFields.String(), ",")); n != bits.OnesCount64(uint64(AllLinkFields)) {
		t.Errorf("%d names", n)
	}
}

// TestDiffCopy: after copying a set of fields the two links differ in no field
// of it, and every other difference is still there.
func TestDiffCopy(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := anyLink.Draw(rt, "a"), anyLink.Draw(rt, "b")
		set := LinkField(rapid.Uint64().Draw(rt, "set")) & AllLinkFields
		before := AllLinkFields.Diff(&a, &b)
		if before != AllLinkFields.Diff(&b, &a) {
			rt.Fatal("Diff depends on the order of its arguments")
		}
		if d := set.Diff(&a, &b); d != before&set {
			rt.Fatalf("Diff of %s is %s, of all fields %s", set, d, before)
		}
		c := a
		set.Copy(&c, &b)
		if d := AllLinkFields.Diff(&c, &b); d != before&^set {
			rt.Fatalf("after copying %s: differs in %s, before in %s", set, d, before)
		}
		if d := AllLinkFields.Diff(&c, &a); d&^set != 0 {
			rt.Fatalf("copying %s changed %s", set, d)
		}
		AllLinkFields.Copy(&c, &b)
		observed := Link{Index: a.Index, Family: a.Family, Type: a.Type, Broadcast: a.Broadcast, PermAddr: a.PermAddr, ParentNSID: a.ParentNSID,
			OperState: a.OperState, Carrier: a.Carrier, Promiscuity: a.Promiscuity, AllMulti: a.AllMulti, Kind: a.Kind, PortKind: a.PortKind, Data: a.Data}
		if c.Index != observed.Index || c.Kind != observed.Kind || c.Carrier != observed.Carrier || c.ParentNSID != observed.ParentNSID || c.Data != observed.Data {
			rt.Fatal("Copy changed what no field names")
		}
	})
}
