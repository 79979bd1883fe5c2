package uci

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func readWords(r io.Reader, most int) (lines [][]string, err error) {
	w := NewWordReader(r)
	for {
		words, err := w.ReadLine(most)
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		if words != nil {
			lines = append(lines, words)
		}
	}
}

func TestWordReader(t *testing.T) {
	for _, c := range []struct {
		in   string
		want [][]string
	}{
		{"", nil},
		{"a b\n\n # c\nc", [][]string{{"a", "b"}, {"c"}}},
		{"a 'b\nc' d\ne\n", [][]string{{"a", "b\nc", "d"}, {"e"}}},
		{"a \\\nb\n", [][]string{{"a", "b"}}},
		{"a b c d 'open\ne\n", [][]string{{"a", "b", "c", "d"}, {"e"}}},
		{"a '' b\n", [][]string{{"a"}}},
		{"a ; b\nc;d\n", [][]string{{"a"}, {"c"}}},
		{"a\r\nb\r\n", [][]string{{"a"}, {"b"}}},
	} {
		for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
			got, err := readWords(r, 4)
			if err != nil || !slices.EqualFunc(got, c.want, slices.Equal) {
				t.Errorf("%q: %q %v, want %q", c.in, got, err, c.want)
			}
		}
	}
	var pe *ParseError
	if _, err := readWords(strings.NewReader("a\nb 'c\nd"), 4); !errors.As(err, &pe) || pe.Line != 3 || pe.Byte != 6 {
		t.Errorf("%v", err)
	}
	if _, err := readWords(iotest.ErrReader(io.ErrClosedPipe), 4); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	if _, err := readWords(endless{}, 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
	if _, err := readWords(io.MultiReader(strings.NewReader("'"), endlessLines{}), 4); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

type endlessLines struct{}

func (endlessLines) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
		if i%80 == 79 {
			b[i] = '\n'
		}
	}
	return len(b), nil
}

// TestWordReaderWaits: a line is given as soon as it is there.
func TestWordReaderWaits(t *testing.T) {
	r, wr := io.Pipe()
	w := NewWordReader(r)
	for _, line := range []string{"first", "second"} {
		sent := make(chan error, 1)
		go func() {
			_, err := io.WriteString(wr, line+"\n")
			sent <- err
		}()
		words, err := w.ReadLine(4)
		if err != nil || len(words) != 1 || words[0] != line {
			t.Fatalf("%q %v", words, err)
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		_, _ = io.WriteString(wr, "third\nthe rest\nof it")
		wr.Close()
	}()
	if words, err := w.ReadLine(4); err != nil || words[0] != "third" || w.Line() != 3 {
		t.Fatalf("%q %v, line %d", words, err, w.Line())
	}
	if rest, err := io.ReadAll(w.Rest()); err != nil || string(rest) != "the rest\nof it" {
		t.Errorf("%q %v", rest, err)
	}
}

// FuzzWords: no input panics; how the bytes arrive makes no difference; nothing
// but the input comes out.
func FuzzWords(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Stdin != "" {
			f.Add(v.Stdin)
		}
	}
	f.Add("set 'a\nb'\\''c' \"d\\\ne\" f#g\n;x\nget a;b\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readWords(strings.NewReader(text), 4)
		slow, slowErr := readWords(iotest.OneByteReader(strings.NewReader(text)), 4)
		if !slices.EqualFunc(got, slow, slices.Equal) || (err == nil) != (slowErr == nil) || err != nil && err.Error() != slowErr.Error() {
			t.Fatalf("%q %v at once, %q %v slowly", got, err, slow, slowErr)
		}
		var pe *ParseError
		if err != nil && !errors.As(err, &pe) {
			t.Fatal(err)
		}
		size := 0
		for _, words := range got {
			for _, w := range words {
				size += len(w)
			}
			if len(words) > 4 {
				t.Fatalf("%q", words)
			}
		}
		if size > len(text) {
			t.Fatalf("%d bytes from %d", size, len(text))
		}
	})
}
