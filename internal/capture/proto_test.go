package capture

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"netbraid/internal/helper"
	"netbraid/internal/jshn"
	"netbraid/internal/proto"
	"netbraid/internal/shelllib"
	"netbraid/internal/ubuscmd"
	"netbraid/internal/ucicmd"
	"netbraid/ubus"
)

// The test binary is also the commands that protocol scripts call, by name.
func init() {
	args := os.Args[1:]
	switch name := filepath.Base(os.Args[0]); name {
	case "jshn":
		os.Exit(jshn.Main(name, args, os.Environ(), os.Stdout, os.Stderr))
	case "uci":
		os.Exit(ucicmd.Main(name, args, os.Stdin, os.Stdout, os.Stderr))
	case "ubus":
		os.Exit(ubuscmd.Main(name, args, os.Stdin, os.Stdout, os.Stderr, false))
	}
}

// scripts gives the world protocol scripts and the library that they source, in
// a folder of its own: the absolute paths in the scripts are put there.
func (w *world) scripts(dir string) proto.Registry {
	w.t.Helper()
	root := filepath.Join(w.dir, "root")
	if err := os.MkdirAll(filepath.Join(root, "lib/netifd/proto"), 0o755); err != nil {
		w.t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join("testdata", dir, "proto", "*.sh"))
	if len(files) == 0 {
		w.t.Fatalf("no scripts in %s", dir)
	}
	for _, f := range files {
		text := bytes.ReplaceAll(read(w.t, dir, "proto", filepath.Base(f)), []byte(". /lib/"), []byte(". "+root+"/lib/"))
		if err := os.WriteFile(filepath.Join(root, "lib/netifd/proto", filepath.Base(f)), text, 0o755); err != nil {
			w.t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	addons := filepath.Join(root, "lib/netifd")
	if err := helper.Prepare(filepath.Join(w.dir, "run"), addons, root, slog.New(slog.DiscardHandler)); err != nil {
		w.t.Fatal(err)
	}
	if d, err := shelllib.Differing(root); err != nil || len(d) > 0 {
		w.t.Fatalf("the library: %q %v", d, err)
	}
	w.env = []string{"NETIFD_MAIN_DIR=" + addons}
	w.protos = helper.Registry(context.Background(), addons, filepath.Join(w.dir, "run"), log)
	return w.protos
}

// The link-layer addresses that the handler labnodev gives its links.
var madeAddrs = map[string]string{"nd-nd": "02:00:00:00:00:56", "ndp-nd": "02:00:00:00:00:57"}

// made loads a moment with the addresses of the links that labnodev makes,
// which were random then.
func made(t *testing.T, run, step string) *moment {
	t.Helper()
	var random []string
	then := load(t, run, step).addrs()
	for dev, now := range madeAddrs {
		if then[dev] != "" {
			random = append(random, then[dev], now, linkLocal(t, then[dev]), linkLocal(t, now))
		}
	}
	return load(t, run, step, random...)
}

// TestProtoShell is the run of handlers outside: everything that they can tell,
// how they are ended, what they depend on.
func TestProtoShell(t *testing.T) {
	const run = "host-proto-shell"
	j := newJudge("proto")
	initial := load(t, run, "0-initial")
	w := newWorld(t, 12, initial.addrs())
	w.scripts(run)
	w.config(read(t, run, "network"))
	w.start()
	var diffs []string
	want := fromJSON(t, read(t, run, "handlers.json"))
	diffTable("handlers", want, w.call(ubus.StatusOK, "network", "get_proto_handlers", nil), &diffs)
	for _, d := range diffs {
		t.Error(d)
	}
	expect := func(step string) {
		t.Helper()
		w.expect(j, made(t, run, step))
	}
	expect("0-initial")

	ok := ubus.StatusOK
	w.call(ok, "network.interface.full", "renew", nil)
	expect("1-full-renewed-keep")
	w.call(ok, "network.interface.full", "down", nil)
	expect("2a-full-going-down")
	expect("2b-full-down")
	w.call(ok, "network.interface.slow", "down", nil)
	expect("3a-slow-abort")
	expect("3b-slow-down")
	w.call(ok, "network.interface.up0", "down", nil)
	expect("4-hostdep-upstream-down")
	w.call(ok, "network.interface.up0", "up", nil)
	expect("5-hostdep-upstream-up")
	w.call(ok, "network.interface.notask", "up", nil)
	expect("6-notask")
	w.call(ok, "network.interface.fail", "up", nil)
	time.Sleep(600 * time.Millisecond)
	w.call(ok, "network.interface.fail", "down", nil)
	expect("7-fail")
	w.call(ok, "network.interface.rst", "restart", nil)
	w.call(ubus.StatusUnknownError, "network.interface.full", "restart", nil)
	expect("8-restart")
	w.ns.IP("link del nd-nd")
	expect("9-nd-device-gone")

	bad := ubus.StatusInvalidArgument
	w.call(bad, "network.interface.full", "notify_proto", ubus.Table{{Name: "action", Value: int32(9)}})
	w.call(bad, "network.interface.full", "notify_proto", nil)
	w.call(ok, "network.interface", "notify_proto", ubus.Table{{Name: "interface", Value: "full"}, {Name: "action", Value: int32(3)},
		{Name: "error", Value: []string{"EXT_ERR", "d1"}}})
	st := w.call(ok, "network.interface.full", "status", nil)
	errs, _ := st.Array("errors")
	if !slices.ContainsFunc(errs, func(e any) bool { return show(e) == `{"subsystem":"labtest","code":"EXT_ERR","data":["d1"]}` }) {
		t.Errorf("errors of full: %s", show(errs))
	}
	w.noRepeats()
	j.finish(t)
}
