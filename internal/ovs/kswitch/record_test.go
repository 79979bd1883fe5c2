package kswitch

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var discard = slog.New(slog.DiscardHandler)

// TestRecord holds that the record comes back, and that one of another boot,
// namespace or version counts for nothing.
func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "ovs")
	r, err := readRecord(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	r.Datapaths["br0"] = &madeDatapath{Index: 7, Ports: map[string]uint32{"eth0": 3, "eth1": 0}}
	if err := r.save(path); err != nil {
		t.Fatal(err)
	}
	got, err := readRecord(path, -1)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("read %+v, %v", got, err)
	}
	if !got.owns("br0", 7) || got.owns("br0", 8) || got.owns("br1", 7) {
		t.Error("it is not clear what is ours")
	}
	d := got.Datapaths["br0"]
	for _, c := range []struct {
		name   string
		number uint32
		want   bool
	}{{"eth0", 3, true}, {"eth0", 4, false}, {"eth1", 9, true}, {"renamed", 3, true}, {"other", 4, false}} {
		if d.ownsPort(c.name, c.number) != c.want {
			t.Errorf("port %s with number %d: ours %v", c.name, c.number, !c.want)
		}
	}
	for name, change := range map[string]func(*record){
		"boot":      func(r *record) { r.BootID = "x" },
		"namespace": func(r *record) { r.Namespace++ },
		"version":   func(r *record) { r.Version++ },
	} {
		other := *r
		change(&other)
		if err := other.save(path); err != nil {
			t.Fatal(err)
		}
		if got, err := readRecord(path, -1); err != nil || len(got.Datapaths) != 0 {
			t.Errorf("another %s: %+v, %v", name, got, err)
		}
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readRecord(path, -1); err == nil || got == nil {
		t.Error("half a file is no error")
	}
}

// FuzzRecord holds that no file makes the reader fail, and that what it takes
// can be asked.
func FuzzRecord(f *testing.F) {
	base := record{Version: 1, BootID: "b", Namespace: 1, Datapaths: map[string]*madeDatapath{"br0": {Index: 1, Ports: map[string]uint32{"a": 1}}}}
	b, _ := json.Marshal(base)
	f.Add(b)
	f.Add([]byte(`{"Version":1,"BootID":"b","Namespace":1,"Datapaths":{"x":null}}`))
	f.Add([]byte(`{"Version":1,"BootID":"b","Namespace":1,"Datapaths":{"x":{}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := &record{Version: 1, BootID: "b", Namespace: 1, Datapaths: map[string]*madeDatapath{}}
		_ = r.take(b)
		for name, d := range r.Datapaths {
			r.owns(name, 1)
			d.ownsPort("a", 1)
			d.Ports["b"] = 2
		}
	})
}
