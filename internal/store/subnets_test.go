package store

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestSubnets(t *testing.T) {
	run, lib := t.TempDir(), filepath.Join(t.TempDir(), "new")
	var got []string
	if there, err := ReadSubnets(&got, run, lib); there || err != nil {
		t.Errorf("nothing saved: %v %v", there, err)
	}
	want := []string{"a", "b"}
	if err := SaveSubnets(want, run, lib); err != nil {
		t.Fatal(err)
	}
	read := func(wantErr bool) {
		t.Helper()
		got = nil
		if there, err := ReadSubnets(&got, run, lib); !there || (err != nil) != wantErr || !reflect.DeepEqual(got, want) {
			t.Errorf("read %v %v %v", got, there, err)
		}
	}
	read(false)
	// Damaged: the other counts.
	if err := os.WriteFile(filepath.Join(run, subnets), []byte(`["x`), 0o600); err != nil {
		t.Fatal(err)
	}
	read(true)
	// After a boot: the same.
	if err := os.Remove(filepath.Join(run, subnets)); err != nil {
		t.Fatal(err)
	}
	read(false)
}
