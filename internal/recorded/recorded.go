package recorded

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
)

// Bytes is a file as it was before it was gzipped, which its name says (".gz").
// It fails the test when the file cannot be read whole.
func Bytes(t testing.TB, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(file, ".gz") {
		return b
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err == nil {
		b, err = io.ReadAll(z)
	}
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return b
}

// Values reads the values of a file. It fails the test when there is none, and
// when one is not a T.
func Values[T any](t testing.TB, file string) []T {
	t.Helper()
	list := values[T](t, file, json.NewDecoder(bytes.NewReader(Bytes(t, file))))
	if len(list) == 0 {
		t.Fatalf("%s has no value", file)
	}
	return list
}

// WithHeader reads a file whose first value is another one than the others, of
// which there may be none.
func WithHeader[H, T any](t testing.TB, file string) (h H, list []T) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(Bytes(t, file)))
	if err := d.Decode(&h); err != nil {
		t.Fatalf("%s: its header: %v", file, err)
	}
	return h, values[T](t, file, d)
}

func values[T any](t testing.TB, file string, d *json.Decoder) (list []T) {
	t.Helper()
	for {
		var v T
		switch err := d.Decode(&v); {
		case err == io.EOF:
			return list
		case err != nil:
			t.Fatalf("%s: value %d: %v", file, len(list)+1, err)
		}
		list = append(list, v)
	}
}
