package ucicmd

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netbraid/internal/recorded"
	"netbraid/uci"
)

// vector is one recorded run of uci, or several in turn.
type vector struct {
	Name  string
	Input *string // file t; nil is no file
	step
	Steps       []step
	DeltaBefore map[string]string `json:"delta_before"`
	OtherFiles  map[string]string `json:"other_files"`
}

type step struct {
	Cmd    []string
	Stdout string
	Stderr string
	RC     int
	Stdin  string
	Files  map[string]string // after it; nil when not recorded
	Delta  map[string]string
}

// readVectors gives those that the library is held against, too.
func readVectors(t testing.TB) []vector {
	return recorded.Values[vector](t, "../../uci/testdata/uci-vectors.jsonl")
}

// world is the folders of a test.
type world struct {
	t    testing.TB
	root string
}

func newWorld(t testing.TB) world {
	w := world{t, t.TempDir()}
	if err := os.Mkdir(filepath.Join(w.root, "config"), 0o755); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w world) path(parts ...string) string {
	return filepath.Join(append([]string{w.root}, parts...)...)
}

func (w world) write(dir, name, text string) {
	w.t.Helper()
	if err := os.MkdirAll(w.path(dir), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// files are those in a folder, with what they hold.
func (w world) files(dir string) map[string]string {
	w.t.Helper()
	out := map[string]string{}
	list, err := os.ReadDir(w.path(dir))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	for _, e := range list {
		if !e.Type().IsRegular() {
			continue
		}
		b, err := os.ReadFile(w.path(dir, e.Name()))
		if err != nil {
			w.t.Fatal(err)
		}
		out[e.Name()] = string(b)
	}
	return out
}

// uci runs a command on the folders. The usual folder for changes is one of
// the world, so that the machine's is never looked at.
func (w world) uci(stdin string, args ...string) (stdout, stderr string, rc int) {
	var o, e bytes.Buffer
	c := &command{
		prog: "uci", in: strings.NewReader(stdin), err: &e,
		store: uci.Store{ConfigDir: w.path("config"), SaveDir: w.path("usual"), DeltaDirs: []string{w.path("usual")}},
	}
	rc = c.main(append([]string{"-t", w.path("delta")}, args...), &o)
	return o.String(), e.String(), rc
}

// TestVectors holds every recorded run: output, exit code, and the files
// afterwards.
func TestVectors(t *testing.T) {
	ran := 0
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			w := newWorld(t)
			if v.Input != nil {
				w.write("config", "t", *v.Input)
			}
			for name, text := range v.OtherFiles {
				w.write("config", name, text)
			}
			for name, text := range v.DeltaBefore {
				w.write("delta", name, text)
			}
			steps := v.Steps
			if len(steps) == 0 {
				steps = []step{v.step}
			}
			for _, s := range steps {
				ran++
				var args []string
				for _, a := range s.Cmd[1:] {
					args = append(args, strings.Replace(a, "/tmp/uv/", w.root+"/", 1))
				}
				stdout, stderr, rc := w.uci(s.Stdin, args...)
				if stdout != s.Stdout || stderr != s.Stderr || rc != s.RC {
					t.Errorf("%q on %q:\n got %q %q %d\nwant %q %q %d", s.Cmd, deref(v.Input), stdout, stderr, rc, s.Stdout, s.Stderr, s.RC)
				}
				if got := w.files("config"); s.Files != nil && !maps.Equal(got, s.Files) {
					t.Errorf("%q leaves the files %q, want %q", s.Cmd, got, s.Files)
				}
				if got := w.files("delta"); s.Delta != nil && !maps.Equal(got, s.Delta) {
					t.Errorf("%q leaves the changes %q, want %q", s.Cmd, got, s.Delta)
				}
			}
		})
	}
	if ran < 340 {
		t.Errorf("only %d commands ran", ran)
	}
}

func deref(s *string) string {
	if s == nil {
		return "(no file)"
	}
	return *s
}
