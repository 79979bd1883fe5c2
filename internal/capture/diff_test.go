package capture

import (
	"fmt"
	"slices"

	"netbraid/ubus"
)

// A difference is one line: where, what netifd had, what netbraid has.

func line(where, netifd, netbraid string) string {
	return fmt.Sprintf("%s: netifd %s, netbraid %s", where, netifd, netbraid)
}

const nothing = "nothing"

func show(v any) string { return string(ubus.AppendJSON(nil, v, false)) }

// free are the values that no two runs have in common; only their type is
// compared.
var free = map[string]bool{"uptime": true}

// ticking are the lifetimes, which count down from the same number.
var ticking = map[string]bool{"preferred": true, "valid": true}

// near tells whether two lifetimes can be of the same begin; one that is over
// or has hardly begun is not near any other.
func near(a, b any) bool {
	x, ok1 := number(a)
	y, ok2 := number(b)
	return ok1 && ok2 && x > 100 && y > 100 && -100 < x-y && x-y < 100
}

func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int32:
		return int64(v), true
	case int64:
		return v, true
	}
	return 0, false
}

// diffValue compares two values field by field, the order of fields too.
func diffValue(where string, want, got any, out *[]string) {
	switch want := want.(type) {
	case ubus.Table:
		if got, ok := got.(ubus.Table); ok {
			diffTable(where, want, got, out)
			return
		}
	case ubus.Array:
		if got, ok := got.(ubus.Array); ok {
			diffArray(where, want, got, out)
			return
		}
	}
	if show(want) != show(got) {
		*out = append(*out, line(where, show(want), show(got)))
	}
}

func diffArray(where string, want, got ubus.Array, out *[]string) {
	for i := range max(len(want), len(got)) {
		at := fmt.Sprintf("%s[%d]", where, i)
		switch {
		case i >= len(got):
			*out = append(*out, line(at, show(want[i]), nothing))
		case i >= len(want):
			*out = append(*out, line(at, nothing, show(got[i])))
		default:
			diffValue(at, want[i], got[i], out)
		}
	}
}

func diffTable(where string, want, got ubus.Table, out *[]string) {
	for _, f := range want {
		v, ok := got.Get(f.Name)
		at := where + "." + f.Name
		switch {
		case !ok:
			*out = append(*out, line(at, show(f.Value), nothing))
		case ticking[f.Name] && near(f.Value, v):
		case free[f.Name] || where[max(0, len(where)-len(".statistics")):] == ".statistics":
			if kind(f.Value) != kind(v) {
				*out = append(*out, line(at, kind(f.Value), kind(v)))
			}
		default:
			diffValue(at, f.Value, v, out)
		}
	}
	for _, f := range got {
		if !want.Has(f.Name) {
			*out = append(*out, line(where+"."+f.Name, nothing, show(f.Value)))
		}
	}
	common := func(a, b ubus.Table) (names []string) {
		for _, f := range a {
			if b.Has(f.Name) {
				names = append(names, f.Name)
			}
		}
		return names
	}
	if a, b := common(want, got), common(got, want); !slices.Equal(a, b) {
		*out = append(*out, line(where+" order", fmt.Sprint(a), fmt.Sprint(b)))
	}
}

// kind is the type as JSON tells it; numbers are of one kind (their size on
// the wire is compared in package api).
func kind(v any) string {
	switch v.(type) {
	case int16, int32, int64:
		return "number"
	}
	return fmt.Sprintf("%T", v)
}

// diffFacts compares two sets of facts by name.
func diffFacts(want, got map[string]string, out *[]string) {
	names := map[string]bool{}
	for n := range want {
		names[n] = true
	}
	for n := range got {
		names[n] = true
	}
	for n := range names {
		a, inA := want[n]
		b, inB := got[n]
		switch {
		case !inA:
			*out = append(*out, line(n, nothing, "'"+b+"'"))
		case !inB:
			*out = append(*out, line(n, "'"+a+"'", nothing))
		case a != b:
			*out = append(*out, line(n, "'"+a+"'", "'"+b+"'"))
		}
	}
}
