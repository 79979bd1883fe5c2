package uci

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func seeds(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Input != nil {
			f.Add([]byte(*v.Input))
		}
	}
	for _, s := range []string{
		sample,
		"config s\nconfig s 'cfg01b618'\nconfig s 'cfg04b618'\nconfig s\n",
		"config a'b#' n\n\toption x \"a\\\"\\\n b\"\\\n",
		"config s n;option a b\n;\nconfig s 'n';option a 'b';list a 'c' ; option d \\",
		"config s\r\n\toption a 'x\r\ny' \\\r\n\r\n",
		"config s n\n\tlist l\n\toption l 1\n\tlist l ''\n\toption l ''\n",
	} {
		f.Add([]byte(s))
	}
}

// FuzzParse: no input panics; what is written in canonical form reads back
// equal and is written the same; strict and non-strict agree on good input; a
// document of good input has its bytes.
func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		loose, err := Parse("t", data, Options{NonStrict: true})
		if err != nil {
			t.Fatalf("a non-strict parse failed: %v", err)
		}
		_ = loose.Canonical()
		_, _ = ParseImport(data, Options{})
		p, err := Parse("t", data, Options{})
		d, derr := ParseDocument("t", data, Options{})
		if err != nil {
			var pe *ParseError
			if !errors.As(err, &pe) || pe.Line < 1 || pe.Start < 1 || pe.Byte < 0 || derr == nil {
				t.Fatalf("error %+v, document's %v", err, derr)
			}
			return
		}
		if derr != nil || !bytes.Equal(d.Bytes(), data) || !d.Package().Equal(p) || !loose.Equal(p) {
			t.Fatalf("document (%v), non-strict or bytes differ", derr)
		}
		out := p.Canonical()
		q, err := Parse("t", out, Options{})
		if err != nil || !q.Equal(p) || !bytes.Equal(q.Canonical(), out) {
			t.Fatalf("%v; canonical form reads back differently:\n%q", err, out)
		}
		if err := Show(io.Discard, p, Tuple{Package: "t"}, Format{}); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzDocument: edits of any good input either are refused or give a text that
// reads back as the edited meaning; a Package that is edited alike agrees.
func FuzzDocument(f *testing.F) {
	for _, ops := range []string{"\x00\x01\x02\x03", "abcdefghijklmnop", "\x09\x19\x29\x39\x49\x59\x69\x79\x89"} {
		f.Add([]byte(sample), []byte(ops))
		f.Add([]byte("config a 'x';option o '1' ;config b 'y'; list l '2' # c\nconfig a 'x'\n\tlist l\\\n"), []byte(ops))
		f.Add([]byte("config s\nconfig s 'cfg01b618'\n\tlist l 1\n\toption l 2\n\toption o ''\n"), []byte(ops))
	}
	f.Fuzz(func(t *testing.T, data, ops []byte) {
		d, err := ParseDocument("t", data, Options{})
		if err != nil || len(d.Package().Sections) > 50 || len(ops) > 30 {
			return
		}
		p, err := Parse("t", data, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, op := range ops {
			e1, e2 := fuzzEdit(d, d.pkg, op), fuzzEdit(p, p, op)
			if (e1 != nil) != (e2 != nil) && !(errors.Is(e1, ErrInvalid) && op%12 == 8) {
				t.Fatalf("op %d: document %v, package %v", op, e1, e2)
			}
			if e1 != nil {
				return
			}
			if !d.Package().Equal(p) {
				t.Fatalf("op %d: document and package differ", op)
			}
			err := d.Check()
			if err != nil && mayClash(p) {
				return
			}
			if err != nil {
				t.Fatalf("op %d: %v\nfrom %q\nto   %q", op, err, data, d.Bytes())
			}
		}
	})
}

// mayClash reports whether a named section is called like a computed name:
// only then may a text refuse to read back.
func mayClash(p *Package) bool {
	for _, s := range p.Sections {
		if !s.Anonymous && strings.HasPrefix(s.Name, "cfg") {
			return true
		}
	}
	return false
}

// fuzzEdit does the edit that a byte stands for, on things that are there.
func fuzzEdit(e editor, p *Package, op byte) error {
	kind, arg := op%12, int(op/12)
	if len(p.Sections) == 0 {
		kind = 9
	}
	sec, option, value := "none", "o", "v"
	if len(p.Sections) > 0 {
		s := p.Sections[arg%len(p.Sections)]
		sec = s.Name
		if n := len(s.Options); n > 0 {
			o := s.Options[arg%n]
			option, value = o.Name, o.Values[len(o.Values)-1]
		}
	}
	switch kind {
	case 0:
		return e.Set(sec, option, "new'\\\n\"#;")
	case 1:
		return e.Set(sec, "added", value)
	case 2:
		return e.AddList(sec, option, "more")
	case 3:
		return e.DelList(sec, option, value)
	case 4:
		return e.DeleteValue(sec, option, arg%3)
	case 5:
		return e.DeleteOption(sec, option)
	case 6:
		return e.RenameOption(sec, option, "renamed")
	case 7:
		return e.Delete(sec)
	case 8:
		return e.Rename(sec, "renamed")
	case 9:
		_, err := e.Add("added#type")
		return err
	case 10:
		_, err := e.SetSection(sec, "other")
		return err
	}
	return e.Reorder(sec, arg%4)
}

func FuzzTuple(f *testing.F) {
	for _, s := range []string{"t.n.a=1", "t.@s[-1].b", "t.@[2]", "t.@s[x", "..", "t.@s[99999999999999999999]"} {
		f.Add(s)
	}
	p, err := Parse("t", []byte(sample), Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tu, err := ParseTuple(s)
		if err != nil {
			return
		}
		text := tu.String()
		if tu.HasValue {
			text += "=" + tu.Value
		}
		if text != s {
			t.Fatalf("%q became %q", s, text)
		}
		_ = Get(io.Discard, p, tu, Format{})
		_ = Show(io.Discard, p, tu, Format{Delimiter: ","})
	})
}
