package getopt

import (
	"slices"
	"strings"
	"testing"
)

func TestParser(t *testing.T) {
	for _, c := range []struct{ args, want, rest string }{
		{"show t", "", "show t"},
		{"-a x -p dir y", "a p=dir", "x y"},
		{"-abpdir -p=1", "a b p=dir p==1", ""},
		{"-p -a", "p=-a", ""},
		{"-a -- -b x", "a", "-b x"},
		{"x - -a", "a", "x -"},
		{"-az", "a invalid option -- 'z'", ""},
		{"--help", "invalid option -- '-'", ""},
		{"-:", "invalid option -- ':'", ""},
		{"-ap", "a option requires an argument -- 'p'", ""},
		{"", "", ""},
	} {
		p := New(strings.Fields(c.args), "p:ab")
		var got []string
		for {
			letter, value, err := p.Next()
			if err != nil {
				got = append(got, err.Error())
				break
			}
			if letter == 0 {
				break
			}
			s := string(letter)
			if value != "" {
				s += "=" + value
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want || !slices.Equal(p.Rest(), strings.Fields(c.rest)) {
			t.Errorf("%q: %q with %q left, want %q with %q", c.args, s, p.Rest(), c.want, c.rest)
		}
	}
}

// FuzzParser: it ends, and invents nothing.
func FuzzParser(f *testing.F) {
	f.Add("-ab\x00x\x00-p\x00--\x00-y")
	f.Fuzz(func(t *testing.T, s string) {
		p := New(strings.Split(s, "\x00"), "p:ab")
		for i := 0; ; i++ {
			letter, value, err := p.Next()
			if letter == 0 && err == nil {
				break
			}
			if i > len(s) || !strings.Contains(s, value) {
				t.Fatalf("step %d, value %q", i, value)
			}
		}
		if len(p.Rest()) > strings.Count(s, "\x00")+1 {
			t.Fatalf("%q", p.Rest())
		}
	})
}
