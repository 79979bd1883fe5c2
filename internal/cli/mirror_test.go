package cli

import (
	"os"
	"strings"
	"testing"

	"netbraid/ubus"
)

// mirrorAnswer is what netbraid.mirror status answers: the daemon's own
// namespace at rest, and one in trouble.
func mirrorAnswer(t testing.TB) ubus.Table {
	t.Helper()
	b, err := os.ReadFile("testdata/mirror.status.json")
	if err != nil {
		t.Fatal(err)
	}
	tab, err := ubus.FromJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func TestMirror(t *testing.T) {
	var b strings.Builder
	if err := writeMirrors(&b, tables(mirrorAnswer(t), "namespaces"), false); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/mirror.golden", b.String())

	b.Reset()
	if err := writeMirrors(&b, nil, false); err != nil || b.String() != "nothing is mirrored\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
	b.Reset()
	if err := writeMirrors(&b, tables(mirrorAnswer(t), "namespaces"), true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"default is \x1b[32mlive\x1b[0m\n", "blue is \x1b[33mwaiting\x1b[0m, for another 640 ms\n", "\x1b[33m7\x1b[0m"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}
