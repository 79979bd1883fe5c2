package recorded

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// fatal keeps why a test was ended.
type fatal struct {
	testing.TB
	why string
}

func (f *fatal) Helper()           {}
func (f *fatal) Fatal(args ...any) { f.why = fmt.Sprint(args...); runtime.Goexit() }

func (f *fatal) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// why runs what reads a file, and says why it ended the test.
func why(read func(testing.TB)) string {
	f := &fatal{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		read(f)
	}()
	<-done
	return f.why
}

// write makes a file, gzipped when it is called so and cut short by so many
// octets.
func write(t *testing.T, name, text string, short int) string {
	t.Helper()
	b := []byte(text)
	if strings.HasSuffix(name, ".gz") {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		_, _ = z.Write(b) // into memory
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b = buf.Bytes()
	}
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, b[:len(b)-short], 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type header struct{ H int }

type value struct{ V int }

func TestRead(t *testing.T) {
	for _, name := range []string{"a.jsonl", "a.jsonl.gz"} {
		if got := fmt.Sprint(Values[value](t, write(t, name, "{\"v\":1}\n{\"v\":2}\n", 0))); got != "[{1} {2}]" {
			t.Errorf("%s: %s", name, got)
		}
		h, list := WithHeader[header, value](t, write(t, name, "{\"h\":7}\n{\"v\":2}", 0))
		if got := fmt.Sprint(h, list); got != "{7} [{2}]" {
			t.Errorf("%s with a header: %s", name, got)
		}
		if h, list := WithHeader[header, value](t, write(t, name, "{\"h\":7}", 0)); h.H != 7 || len(list) != 0 {
			t.Errorf("%s with nothing but a header: %v %v", name, h, list)
		}
	}
}

// TestDefects: nothing that is not whole passes for a shorter recording.
func TestDefects(t *testing.T) {
	for _, c := range []struct {
		name, text string
		short      int
		want       string
	}{
		{"a.jsonl", "", 0, "a.jsonl has no value"},
		{"a.jsonl", "{\"v\":1}\n{\"v\":", 0, "value 2: unexpected EOF"},
		{"a.jsonl", "{\"v\":1}\n]", 0, "value 2: invalid character"},
		{"a.jsonl", "{\"v\":\"x\"}", 0, "value 1: json: cannot unmarshal"},
		{"a.jsonl.gz", "{\"v\":1}\n{\"v\":2}\n", 3, "unexpected EOF"},
	} {
		file := write(t, c.name, c.text, c.short)
		if got := why(func(tb testing.TB) { Values[value](tb, file) }); !strings.Contains(got, c.want) {
			t.Errorf("%q short of %d octets: %q, want %q", c.text, c.short, got, c.want)
		}
	}
	if got := why(func(tb testing.TB) { WithHeader[header, value](tb, filepath.Join(t.TempDir(), "none")) }); !strings.Contains(got, "no such file") {
		t.Errorf("without a file: %q", got)
	}
}
