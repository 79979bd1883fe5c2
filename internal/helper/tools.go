package helper

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"netbraid/internal/proto"
	"netbraid/internal/shelllib"
)

// tools are the commands that protocol scripts call and that netbraid is by
// name.
var tools = []string{"ubus", "uci", "jshn"}

// binDir is where the tools stand for scripts on a system without them.
func binDir(runDir string) string { return filepath.Join(runDir, "bin") }

// searchPath is the PATH of programs: the system's own tools come first.
func searchPath(runDir string) string {
	if runDir == "" {
		return Path
	}
	return Path + ":" + binDir(runDir)
}

// Prepare makes the surroundings that protocol scripts expect: the commands
// ubus, uci and jshn, as this program by other names in RUNDIR/bin, and on a
// system with scripts but without the shell library that they source, that
// library below root ("/").
func Prepare(runDir, addons, root string, log *slog.Logger) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("helper: %w", err)
	}
	if err := os.MkdirAll(binDir(runDir), 0o755); err != nil {
		return fmt.Errorf("helper: %w", err)
	}
	for _, n := range tools {
		name := filepath.Join(binDir(runDir), n)
		if old, err := os.Readlink(name); err == nil && old == self {
			continue
		}
		_ = os.Remove(name)
		if err := os.Symlink(self, name); err != nil {
			return fmt.Errorf("helper: %w", err)
		}
	}
	if scripts, _ := filepath.Glob(filepath.Join(addons, "proto", "*.sh")); len(scripts) == 0 {
		return nil
	}
	written, err := shelllib.Install(root)
	if len(written) > 0 {
		log.Info("the shell library of protocol scripts was not there and is now", "files", written)
	}
	return err
}

// Registry is the built-in protocols with those of the scripts in ADDONS/proto.
// Surroundings as Prepare makes them are used where they are.
func Registry(ctx context.Context, addons, runDir string, log *slog.Logger) proto.Registry {
	reg := proto.Builtin()
	Discover(ctx, addons, reg, []string{"PATH=" + searchPath(runDir)}, log)
	return reg
}
