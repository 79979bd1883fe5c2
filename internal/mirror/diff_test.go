package mirror_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// TestDiffSeesEveryField changes one field after the other of an object on one
// side: the comparison must see each, but for those that tables_test.go leaves
// out with a reason.
func TestDiffSeesEveryField(t *testing.T) {
	dst := netip.MustParsePrefix("10.1.0.0/16")
	seesEach(t, (*tables).addLink, rtnl.Link{Index: 7, Name: "a", Flags: unix.IFF_UP}, "Promiscuity", "AllMulti")
	seesEach(t, (*tables).addAddr, rtnl.Addr{Index: 7, Family: unix.AF_INET, Local: dst.Addr(), Valid: rtnl.LifetimeForever, Preferred: rtnl.LifetimeForever})
	seesEach(t, (*tables).addRule, rtnl.Rule{Family: unix.AF_INET})
	seesEach(t, (*tables).addNeigh, rtnl.Neigh{Index: 7, Dst: dst.Addr()})
	seesEach(t, (*tables).addNexthop, rtnl.Nexthop{ID: 7})
	seesEach(t, (*tables).addNetconf, rtnl.Netconf{Family: unix.AF_INET, Index: 7}, "BCForwarding")
	seesEach(t, (*tables).addRoute, rtnl.Route{Family: unix.AF_INET, Dst: dst})
}

func seesEach[T any](t *testing.T, add func(*tables, T), v T, leftOut ...string) {
	t.Helper()
	typ := reflect.TypeOf(v)
	for i := range typ.NumField() {
		changed := v
		f := reflect.ValueOf(&changed).Elem().Field(i)
		if !alter(f) || slices.Contains(leftOut, typ.Field(i).Name) {
			continue
		}
		have, want := newTables(), newTables()
		add(have, v)
		add(want, changed)
		if len(diff(have, want)) == 0 {
			t.Errorf("the comparison does not see %s.%s", typ, typ.Field(i).Name)
		}
	}
	have, want := newTables(), newTables()
	add(want, v)
	if len(diff(have, want)) == 0 {
		t.Errorf("the comparison does not see a %s that is missing", typ)
	}
	if len(diff(want, newTables())) == 0 {
		t.Errorf("the comparison does not see a %s too many", typ)
	}
}

// alter gives a field another value; it knows the plain kinds and addresses.
func alter(f reflect.Value) bool {
	switch {
	case f.Type() == reflect.TypeFor[netip.Addr]():
		f.Set(reflect.ValueOf(netip.MustParseAddr("192.0.2.77")))
	case f.Type() == reflect.TypeFor[netip.Prefix]():
		f.Set(reflect.ValueOf(netip.MustParsePrefix("192.0.2.0/24")))
	case f.CanUint():
		f.SetUint(f.Uint() ^ 1<<(min(f.Type().Bits(), 18)-1)) // no flag that is left out
	case f.CanInt():
		f.SetInt(f.Int() ^ 1)
	case f.Kind() == reflect.Bool:
		f.SetBool(!f.Bool())
	case f.Kind() == reflect.String:
		f.SetString("x")
	default:
		return false
	}
	return true
}
