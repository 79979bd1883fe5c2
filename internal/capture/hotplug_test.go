package capture

import (
	"os"
	"path/filepath"
	"strings"

	"netbraid/internal/hotplug"
	"netbraid/internal/resolv"
)

// hotplugScript writes down what it is called for, as the recorded runs did.
const hotplugScript = `#!/bin/sh
line="$ACTION $INTERFACE ${DEVICE--}"
for v in ADDRESSES DATA PREFIXES ROUTES; do
	eval "[ \"\$IFUPDATE_$v\" = 1 ]" && line="$line IFUPDATE_$v"
done
[ "$1 $HOTPLUG_TYPE" = "iface iface" ] || line="wrong: $1 $HOTPLUG_TYPE"
echo "$line" >>@LOG@
`

// listeners give the daemon a hotplug script, which is run without
// hotplug-call, and a resolv.conf to write.
func (w *world) listeners() (*hotplug.Options, *resolv.Options) {
	w.t.Helper()
	dir := filepath.Join(w.dir, "hotplug.d")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		w.t.Fatal(err)
	}
	script := strings.Replace(hotplugScript, "@LOG@", w.hotplugLog(), 1)
	if err := os.WriteFile(filepath.Join(dir, "10-log"), []byte(script), 0o644); err != nil {
		w.t.Fatal(err)
	}
	return &hotplug.Options{Program: filepath.Join(w.dir, "none"), Dir: dir},
		&resolv.Options{File: filepath.Join(w.dir, "resolv.conf.auto")}
}

func (w *world) hotplugLog() string { return filepath.Join(w.dir, "hotplug.log") }

// told compares what hotplug scripts and the resolver have been told with the
// moment.
func (w *world) told(m *moment, out *[]string) {
	w.t.Helper()
	b, _ := os.ReadFile(w.hotplugLog()) // nothing is no file
	diffFacts(byScript(m.hotplug), byScript(string(b)), out)
	b, _ = os.ReadFile(filepath.Join(w.dir, "resolv.conf.auto"))
	if got := string(b); got != m.resolv {
		*out = append(*out, line("resolv.conf.auto", show(m.resolv), show(got)))
	}
}

// byScript gives the calls by interface, each once in a row: netifd calls twice
// for ifdown, and for a wrong section at every trigger.
func byScript(log string) map[string]string {
	out, last := map[string]string{}, map[string]string{}
	for _, l := range strings.Split(strings.TrimSpace(log), "\n") {
		action, rest, _ := strings.Cut(l, " ")
		name, device, _ := strings.Cut(rest, " ")
		call := action
		if device != "-" {
			call += "(" + device + ")"
		}
		if key := "events of " + name + ": hotplug"; name != "" && last[name] != call {
			last[name] = call
			out[key] = strings.TrimSpace(out[key] + " " + call)
		}
	}
	return out
}
