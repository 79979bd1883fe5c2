package uci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const deltaBase = "config s 'n'\n\toption a '1'\n\tlist l 'x'\n\tlist l 'y'\n\nconfig s\n\toption b '2'\n"

// TestApply is what each kind of line does, also those without effect.
func TestApply(t *testing.T) {
	const n, anon = "\nconfig s 'n'\n\toption a '1'\n\tlist l 'x'\n\tlist l 'y'\n", "\nconfig s\n\toption b '2'\n"
	for _, c := range []struct{ line, want string }{
		{"t.n.a='2'", strings.Replace(n, "'1'", "'2'", 1) + anon},
		{"t.n.a=2", strings.Replace(n, "'1'", "'2'", 1) + anon},
		{"t.n.a=''", strings.Replace(n, "\toption a '1'\n", "", 1) + anon},
		{"t.n=''", anon},
		{"t.zz=''", n + anon},
		{"t.new='q'", n + anon + "\nconfig q 'new'\n"},
		{"+t.cfg03b618='s'", n + anon + "\nconfig s\n"},
		{"-t.n.l", strings.Split(n, "\tlist")[0] + anon},
		{"-t.n.l='1'", strings.Replace(n, "\tlist l 'y'\n", "", 1) + anon},
		{"-t.n.l='7'", n + anon},
		{"-t.n.a='7'", strings.Replace(n, "\toption a '1'\n", "", 1) + anon},
		{"@t.n.a='l'", strings.Replace(n, "option a", "option l", 1) + anon},
		{"@t.cfg02b618='m'", n + strings.Replace(anon, "config s", "config s 'm'", 1)},
		{"^t.cfg02b618='-1'", anon + n},
		{"^t.n='99999999999999999999'", anon + n},
		{"|t.n.a='3'", strings.Replace(n, "\toption a '1'\n", "\tlist a '1'\n\tlist a '3'\n", 1) + anon},
		{"~t.n.l='x'\n~t.n.l='y'", strings.Split(n, "\tlist")[0] + anon},
		{"~t.n.l='x'\n~t.n.l='y'\n|t.n.l='z'", strings.Split(n, "\tlist")[0] + "\tlist l 'z'\n" + anon},
		// no effect, and an error
		{"t.zz.a='1'", ""}, {"t.n='b d'", ""}, {"-t.zz", ""}, {"-t.n.zz", ""}, {"-t.n.l='x'", ""}, {"@t.zz='a'", ""}, {"^t.zz='0'", ""},
		{"|t.zz.l='1'", ""}, {"~t.zz.l='1'", ""},
	} {
		p, err := Parse("t", []byte(deltaBase), Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines, err := ParseDelta("t", []byte(c.line), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var applied error
		for _, l := range lines {
			if l.Err != nil {
				t.Errorf("%q: %v", l.Text, l.Err)
			}
			applied = errors.Join(applied, p.Apply(l.Change))
		}
		if (applied != nil) != (c.want == "") {
			t.Errorf("%q: %v", c.line, applied)
		}
		if c.want == "" {
			c.want = n + anon
		}
		if got := string(p.Canonical()); got != c.want+"\n" {
			t.Errorf("%q makes %q, want %q", c.line, got, c.want)
		}
	}
}

// TestBadDelta: every line that is no change is told, and in the way of none.
func TestBadDelta(t *testing.T) {
	for _, bad := range []string{
		"broken line", "t.n.a", "t.n.a='1' x", "t.n.a='1';x", "t.@s[0].a='1'", "t='1'", "t.n.a.b='1'", "t.n.a-b='1'", "t..a='1'",
		"^t.n.a='1'", "@t.n='a b'", "@t.n=''", "|t.n='1'", "~t.n='1'", "+t.n", "other.n.a='1'", "t.n.a='\x01'", "t.n.a='\x00'", "t.n.a='1'\r",
	} {
		lines, err := ParseDelta("t", []byte("t.n.a='5'\n"+bad+"\n\n# c\nt.n.b='6\n7'\n"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var good []string
		for _, l := range lines {
			var pe *ParseError
			switch {
			case l.Err == nil:
				good = append(good, l.Change.Line())
			case !errors.As(l.Err, &pe) || pe.Reason == "" || l.Line == 2 && pe.Position() != "t:2":
				t.Errorf("%q: %v", bad, l.Err)
			}
		}
		if want := []string{"t.n.a='5'", "t.n.b='6\n7'"}; !slices.Equal(good, want) || lines[1].Err == nil {
			t.Errorf("%q: %q is left, and %v", bad, good, lines[1].Err)
		}
	}
}

// FuzzParseDelta: nothing panics; what is read is written so that it reads back
// the same; no byte is lost.
func FuzzParseDelta(f *testing.F) {
	for _, v := range readVectors(f) {
		for _, s := range v.Steps {
			for _, d := range s.Delta {
				f.Add(d)
			}
		}
		for _, d := range v.DeltaBefore {
			f.Add(d)
		}
	}
	f.Add("+t.cfg01b618='s'\n~t.n.l='x'\n-t.n.l='0'\nt.n.a='a\nb'\\''c'\n^t.n='-1'\n@t.n.a='l'\nt.n.a='open\n")
	f.Fuzz(func(t *testing.T, data string) {
		lines, err := ParseDelta("t", []byte(data), Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse("t", []byte(deltaBase), Options{})
		if err != nil {
			t.Fatal(err)
		}
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(l.Text)
			if l.Err != nil {
				continue
			}
			again, err := ParseDelta("t", []byte(l.Change.Line()+"\n"), Options{})
			if err != nil || len(again) != 1 || again[0].Err != nil || again[0].Change != l.Change || again[0].open {
				t.Fatalf("%q is written %q, which reads back as %+v (%v)", l.Text, l.Change.Line(), again, err)
			}
			before := string(p.Canonical())
			if err := p.Apply(l.Change); err != nil && string(p.Canonical()) != before {
				t.Fatalf("%q failed (%v) and changed something", l.Text, err)
			}
			_ = l.Change.String()
		}
		if text.String() != data {
			t.Fatalf("the lines are %q, the file %q", text.String(), data)
		}
		if _, err := Parse("t", p.Canonical(), Options{NonStrict: true, MaxSize: -1}); err != nil {
			t.Fatal(err)
		}
	})
}

func newStore(t testing.TB, text string) *Store {
	dir := t.TempDir()
	s := &Store{ConfigDir: filepath.Join(dir, "config"), SaveDir: filepath.Join(dir, "save"), LockTimeout: 20 * time.Second}
	s.DeltaDirs = []string{s.SaveDir}
	if err := os.Mkdir(s.ConfigDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.ConfigDir, "t"), []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return s
}

func addList(value string) []Change {
	return []Change{{Op: OpAddList, Package: "t", Section: "n", Option: "l", Value: value, HasValue: true}}
}

// TestConcurrent: writers and committers at the same time lose nothing and make
// nothing twice, and a reader between them sees every change that was there.
func TestConcurrent(t *testing.T) {
	s := newStore(t, "config s 'n'\n")
	const writers, each = 6, 25
	var wg, reader sync.WaitGroup
	stop := make(chan struct{})
	reader.Add(1)
	go func() {
		defer reader.Done()
		for seen := 0; ; {
			select {
			case <-stop:
				return
			default:
			}
			l, err := s.Load("t")
			if err != nil {
				t.Error(err)
				return
			}
			n := len(l.Section("n").Values("l"))
			if n < seen || n > writers*each {
				t.Errorf("%d values after %d", n, seen)
				return
			}
			seen = n
		}
	}()
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range each {
				l, err := s.Load("t")
				if err == nil {
					err = s.Save(l, addList(fmt.Sprintf("%d.%d", w, i)))
				}
				if err == nil && i%5 == w%5 {
					_, err = s.Commit("t")
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	wg.Wait()
	close(stop)
	reader.Wait()
	if _, err := s.Commit("t"); err != nil {
		t.Fatal(err)
	}
	p, err := Load(s.ConfigDir, "t", Options{})
	if err != nil {
		t.Fatal(err)
	}
	values := slices.Clone(p.Section("n").Values("l"))
	slices.Sort(values)
	if n := len(slices.Compact(slices.Clone(values))); len(values) != writers*each || n != len(values) {
		t.Errorf("%d values, %d of them different, want %d", len(values), n, writers*each)
	}
	st, err := os.Stat(filepath.Join(s.ConfigDir, "t"))
	if err != nil || st.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// TestLocked: another program's flock is waited for, and not for ever.
func TestLocked(t *testing.T) {
	s := newStore(t, "config s 'n'\n")
	l, err := s.Load("t")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(l, addList("a")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(s.ConfigDir, "t"), filepath.Join(s.SaveDir, "t")} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		s.LockTimeout = 30 * time.Millisecond
		_, loadErr := s.Load("t")
		_, commitErr := s.Commit("t")
		for _, err := range []error{loadErr, commitErr} {
			if !errors.Is(err, errLocked) || !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), path) {
				t.Errorf("%s: %v", path, err)
			}
		}
		s.LockTimeout = 20 * time.Second
		time.AfterFunc(50*time.Millisecond, func() { f.Close() })
		if _, err := s.Load("t"); err != nil {
			t.Errorf("%s: after the lock is gone: %v", path, err)
		}
	}
}

// TestKeptLines: a commit keeps what it could not read; a change is not written
// behind a line that would swallow it; reverting everything helps.
func TestKeptLines(t *testing.T) {
	s := newStore(t, "config s 'n'\n")
	delta := filepath.Join(s.SaveDir, "t")
	put := func(text string) {
		t.Helper()
		if err := os.MkdirAll(s.SaveDir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(delta, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		if b, err := os.ReadFile(delta); err != nil || string(b) != text {
			t.Errorf("the delta file has %q (%v), want %q", b, err, text)
		}
	}
	put("\nt.n.a='1'\nbroken line\nother.n.a='1'\nt.zz.a='1'\n")
	l, err := s.Commit("t")
	if err != nil || len(l.Bad) != 2 || !l.Changed() {
		t.Fatalf("%+v %v", l, err)
	}
	want("broken line\nother.n.a='1'\n")
	if l, err = s.Commit("t"); err != nil || l.Changed() {
		t.Errorf("%+v %v", l, err)
	}
	want("broken line\nother.n.a='1'\n")

	put("t.n.a='2'\nt.n.b='cut") // no newline, no quote
	if err := s.Save(l, addList("x")); !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), "line 2 is cut off") {
		t.Errorf("%v", err)
	}
	want("t.n.a='2'\nt.n.b='cut")
	put("t.n.a='2'\nt.n.b=") // no newline
	if err := s.Save(l, addList("x")); err != nil {
		t.Error(err)
	}
	want("t.n.a='2'\nt.n.b=\n|t.n.l='x'\n")
	put("t.n.a='2'\nbroken\nt.n.b='3\n4'\nt.m.a='5'\n")
	if err := s.Revert("t", "n", "b"); err != nil {
		t.Error(err)
	}
	want("t.n.a='2'\nbroken\nt.m.a='5'\n")
	if err := s.Revert("t", "n", ""); err != nil {
		t.Error(err)
	}
	want("broken\nt.m.a='5'\n")
	if err := s.Revert("t", "", ""); err != nil {
		t.Error(err)
	}
	want("")
}

// TestFailedCommit: what cannot be written leaves both files as they were.
func TestFailedCommit(t *testing.T) {
	s := newStore(t, "config s 'n'\nbroken\n")
	if err := os.MkdirAll(s.SaveDir, 0o755); err != nil {
		t.Fatal(err)
	}
	delta := filepath.Join(s.SaveDir, "t")
	if err := os.WriteFile(delta, []byte("t.n.a='1'\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var pe *ParseError
	if _, err := s.Commit("t"); !errors.As(err, &pe) || pe.Line != 2 {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(delta); string(b) != "t.n.a='1'\n" {
		t.Errorf("%q", b)
	}
	if b, _ := os.ReadFile(filepath.Join(s.ConfigDir, "t")); string(b) != "config s 'n'\nbroken\n" {
		t.Errorf("%q", b)
	}
}

// TestForeignSaveDir: changes that another user prepared are not taken.
func TestForeignSaveDir(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives a folder to another user")
	}
	s := newStore(t, "config s 'n'\n")
	if err := os.MkdirAll(s.SaveDir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(s.SaveDir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	l, err := s.Load("t")
	if err == nil {
		t.Fatal("loaded")
	}
	if !errors.Is(err, ErrIO) || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("%v", err)
	}
	if l != nil {
		t.Errorf("%+v", l)
	}
	if _, err := s.Commit("t"); !errors.Is(err, ErrIO) {
		t.Errorf("%v", err)
	}
}

// TestOddDeltaFiles: a FIFO does not hang, a folder is no file, a huge file is
// refused.
func TestOddDeltaFiles(t *testing.T) {
	s := newStore(t, "config s 'n'\n")
	if err := os.MkdirAll(s.SaveDir, 0o755); err != nil {
		t.Fatal(err)
	}
	delta := filepath.Join(s.SaveDir, "t")
	if err := syscall.Mkfifo(delta, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := s.Load("t")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Save(l, addList("x")); err == nil {
		t.Error("saved into a FIFO")
	}
	if err := os.Remove(delta); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(delta, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(delta, DefaultMaxSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("t"); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%v", err)
	}
}
