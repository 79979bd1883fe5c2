package store

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

func TestAsked(t *testing.T) {
	dir := t.TempDir()
	var got map[string]string
	if there, err := ReadAsked(dir, &got); there || err != nil {
		t.Errorf("nothing saved: %v %v", there, err)
	}
	want := map[string]string{"a": "x\ny"}
	if err := SaveAsked(dir, want); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadAsked(dir, &got); !there || err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %v %v %v", got, there, err)
	}
	file := filepath.Join(dir, asked)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// Of another boot it counts for nothing.
	var h header
	body := b[len(mustJSON(t, currentHeader())):]
	h = currentHeader()
	h.BootID = "another"
	if err := os.WriteFile(file, append(mustJSON(t, h), body...), 0o600); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadAsked(dir, &got); there || err != nil {
		t.Errorf("of another boot: %v %v", there, err)
	}
	if err := os.WriteFile(file, b[:len(b)-4], 0o600); err != nil {
		t.Fatal(err)
	}
	if there, err := ReadAsked(dir, &got); there || err == nil {
		t.Errorf("cut short: %v %v", there, err)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzAsked: whatever stands in the file, reading it ends.
func FuzzAsked(f *testing.F) {
	head, _ := json.Marshal(header{Version: version})
	f.Add(append(head, []byte("\n{\"a\":1}\n")...))
	f.Add([]byte("{}\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var v map[string]any
		if there, err := parseWhole(b, header{Version: version}, &v); there && err != nil {
			t.Error("there, and an error")
		}
	})
}
