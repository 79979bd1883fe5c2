package capture

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"netbraid/ubus"
)

// types holds that every value has the type on the wire that netifd gave it,
// which JSON does not tell (INT32, INT64, INT8, …).
func (w *world) types() {
	w.t.Helper()
	compared := 0
	for l := range bytes.Lines(read(w.t, "recorded.txt")) {
		f := strings.Fields(string(l))
		if len(f) != 3 || f[0] == "#" {
			continue
		}
		raw, err := hex.DecodeString(f[2])
		if err != nil {
			w.t.Fatal(err)
		}
		got := w.call(ubus.StatusOK, f[0], f[1], nil)
		if f[0] == "network.device" {
			got, _ = got.Table("br-lan")
		}
		want := ubus.DecodeTable(raw)
		w.sameTypes(f[0]+" "+f[1], want, got, &compared)
		if f[1] == "get_proto_handlers" { // that of static is recorded
			var diffs []string
			diffTable(f[1], want, got, &diffs)
			for _, d := range diffs {
				w.t.Error(d)
			}
		}
	}
	if compared < 300 {
		w.t.Errorf("only %d values could be compared by type", compared)
	}
}

// sameTypes compares what both have.
func (w *world) sameTypes(where string, want, got any, compared *int) {
	w.t.Helper()
	*compared++
	if a, b := fmt.Sprintf("%T", want), fmt.Sprintf("%T", got); a != b {
		w.t.Errorf("%s: netifd's type is %s, netbraid's %s", where, a, b)
		return
	}
	switch want := want.(type) {
	case ubus.Table:
		for _, f := range want {
			if v, ok := got.(ubus.Table).Get(f.Name); ok {
				w.sameTypes(where+"."+f.Name, f.Value, v, compared)
			}
		}
	case ubus.Array:
		list := got.(ubus.Array)
		for i := range min(len(want), len(list)) {
			w.sameTypes(fmt.Sprintf("%s[%d]", where, i), want[i], list[i], compared)
		}
	}
}

// signatures holds that the objects are published as netifd's, the object of
// an interface as network.interface.
func (w *world) signatures() {
	w.t.Helper()
	var got strings.Builder
	for _, path := range []string{"network", "network.device", "network.interface"} {
		fmt.Fprintf(&got, "'%s'\n%s", path, w.signature(path))
	}
	if want := string(read(w.t, "signatures.txt")); got.String() != want {
		w.t.Errorf("signatures:\n%s\nwant:\n%s", got.String(), want)
	}
	if a, b := w.signature("network.interface.lan"), w.signature("network.interface"); a != b {
		w.t.Errorf("signature of an interface: %s\nwant: %s", a, b)
	}
	ctx, cancel := w.ctx()
	defer cancel()
	all, err := w.client.Lookup(ctx, "network.interface.*")
	if err != nil {
		w.t.Fatal(err)
	}
	var paths []string
	for _, o := range all {
		paths = append(paths, strings.TrimPrefix(o.Path, "network.interface."))
	}
	if got, want := strings.Join(paths, " "), "badaddr down1 lan lanalias loopback nodev none1 wan"; got != want {
		w.t.Errorf("objects of interfaces: %s, want %s", got, want)
	}
}

// signature prints the methods of an object as `ubus -v list` does.
func (w *world) signature(path string) string {
	w.t.Helper()
	ctx, cancel := w.ctx()
	defer cancel()
	objs, err := w.client.Lookup(ctx, path)
	if err != nil || len(objs) != 1 {
		w.t.Fatalf("look up %s: %v, %v", path, objs, err)
	}
	names := map[ubus.Type]string{ubus.TypeString: "String", ubus.TypeBool: "Boolean", ubus.TypeArray: "Array"}
	var out strings.Builder
	for _, m := range objs[0].Methods {
		var args []string
		for _, a := range m.Args {
			args = append(args, fmt.Sprintf("%q:%q", a.Name, names[a.Type]))
		}
		fmt.Fprintf(&out, "\t%q:{%s}\n", m.Name, strings.Join(args, ","))
	}
	return out.String()
}
