package uci

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// genSection is one section of a generated file.
type genSection struct {
	id       int
	text     string // with the comments above it, without the blank lines below
	comments []string
}

func (g genSection) name() string { return fmt.Sprint("s", g.id) }

// genFile draws a file whose comments and values are all different.
func genFile(t *rapid.T) (text string, secs []genSection) {
	pick := func(list ...string) string { return rapid.SampledFrom(list).Draw(t, "pick") }
	serial := 0
	comment := func(g *genSection, indent string) string {
		serial++
		c := fmt.Sprintf("%s# comment %d 'q\" ; x", indent, serial)
		g.comments = append(g.comments, c)
		return c + "\n"
	}
	value := func() string {
		serial++
		return fmt.Sprintf(pick("'v%d'", "v%d", "\"v %d\"", "'v\n%d'", "v\\ %d", "'it'\\''s %d'"), serial)
	}
	b := pick("", "# head\n\n", "\n\n", "# head of the file\n# more\n\n")
	for id := range rapid.IntRange(1, 6).Draw(t, "sections") {
		g := genSection{id: id}
		for range rapid.IntRange(0, 2).Draw(t, "above") {
			g.text += comment(&g, "")
		}
		if id == 0 && !strings.HasSuffix(b, "\n\n") {
			g.text, g.comments = "", nil // there it would be the head of the file
		}
		g.text += pick("config", "c", "  config") + pick(" ", "\t ") + pick("interface", "'device'", "t#"[:1]) +
			" " + pick("'%', %", "%", "\"%\"")
		g.text = strings.ReplaceAll(strings.ReplaceAll(g.text, "'%', %", "'%'"), "%", g.name())
		g.text += pick("", " # trailing", "\t") + "\n"
		for range rapid.IntRange(0, 6).Draw(t, "lines") {
			switch rapid.IntRange(0, 4).Draw(t, "kind") {
			case 0:
				g.text += comment(&g, "\t")
			case 1:
				g.text += "\tlist " + pick("l", "m", "a") + " " + value() + pick("", " # why") + "\n"
			default:
				g.text += pick("\t", " ", "") + "option " + pick("a", "b", "l", "c") + "  " + value() + pick("", "#why", "  ") + "\n"
			}
		}
		secs = append(secs, g)
		b += g.text + pick("\n", "\n\n")
	}
	return b, secs
}

// TestEditsPreserve: whatever is done to one section, every other section
// stands in the file byte for byte and in its order, every comment line that
// was not deleted with its section is there, and the text reads back as what
// was edited.
func TestEditsPreserve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, secs := genFile(t)
		d, err := ParseDocument("t", []byte(text), Options{})
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		target := rapid.SampledFrom(secs).Draw(t, "target")
		name, deleted, moved := target.name(), false, false
		for range rapid.IntRange(1, 8).Draw(t, "edits") {
			if deleted {
				break
			}
			option := rapid.SampledFrom([]string{"a", "b", "l", "m", "new"}).Draw(t, "option")
			s := d.Package().Section(name)
			value := "added ' value"
			if vs := s.Values(option); len(vs) > 0 && rapid.Bool().Draw(t, "there") {
				value = rapid.SampledFrom(vs).Draw(t, "value")
			}
			switch rapid.IntRange(0, 10).Draw(t, "edit") {
			case 0, 1:
				err = d.Set(name, option, value)
			case 2:
				err = d.AddList(name, option, value)
			case 3:
				err = d.DelList(name, option, value)
			case 4:
				err = d.Set(name, option, "")
			case 5:
				if s.Get(option) != nil {
					err = d.DeleteValue(name, option, rapid.IntRange(0, 2).Draw(t, "i"))
				}
			case 6:
				if s.Get(option) != nil && s.Get("other") == nil {
					err = d.RenameOption(name, option, "other")
				}
			case 7:
				err = d.Rename(name, name+"x")
				name += "x"
			case 8:
				_, err = d.SetSection(name, "newtype")
			case 9:
				err, moved = d.Reorder(name, rapid.IntRange(0, 6).Draw(t, "position")), true
			case 10:
				err, deleted = d.Delete(name), true
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Check(); err != nil {
				t.Fatalf("%v: from\n%s\nto\n%s", err, text, d.Bytes())
			}
		}
		out := string(d.Bytes())
		at := 0
		for _, g := range secs {
			if g.id == target.id {
				for _, c := range g.comments {
					if has := strings.Contains(out, c+"\n"); !has && !deleted {
						t.Fatalf("comment %q is gone: from\n%s\nto\n%s", c, text, out)
					}
				}
				continue
			}
			i := strings.Index(out[at:], g.text)
			if i < 0 {
				t.Fatalf("section %d changed: from\n%s\nto\n%s", g.id, text, out)
			}
			at += i + len(g.text)
		}
		if !moved && !deleted && !strings.HasPrefix(out, text[:strings.Index(text, secs[0].text)]) {
			t.Fatalf("the head changed: from\n%s\nto\n%s", text, out)
		}
	})
}
