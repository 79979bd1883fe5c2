package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/netns"
	"netbraid/internal/dataplane/vpp"
	"netbraid/internal/dryrun"
	"netbraid/internal/proto"
	"netbraid/internal/store"
)

// lookLimit bounds a look at a dataplane.
const lookLimit = 5 * time.Second

// Look says what a dataplane has, and changes nothing in it.
func Look(ctx context.Context, d *config.Dataplane) (dataplane.Seen, error) {
	ctx, end := context.WithTimeout(ctx, lookLimit)
	defer end()
	if d.Type == config.NetNS {
		return netns.Look(ctx, d.NetNS)
	}
	return vpp.Look(ctx, vpp.Options{Socket: d.Socket, Window: d.Window, Log: slog.New(slog.DiscardHandler)})
}

// ReadPlanes gives what is to be compared of dataplanes for a configuration: what
// is in force, by the last good configuration in stateDir, and what is written
// down in runDir. asked is what callers have asked for at run time, nil for
// nothing.
func ReadPlanes(ctx context.Context, cfg *config.Config, asked *core.Restore, runDir, stateDir string, protos proto.Registry) (*dryrun.Planes, error) {
	p := &dryrun.Planes{New: cfg, Look: func(d *config.Dataplane) (dataplane.Seen, error) { return Look(ctx, d) }}
	if _, err := store.ReadMade(runDir, &p.Made); err != nil {
		return nil, err
	}
	old, _, err := Load(goodDir(stateDir), protos)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = &config.Config{} // there never was one
	case err != nil:
		return nil, fmt.Errorf("read the last good configuration: %w", err)
	}
	p.Old = old
	if asked != nil {
		p.Old, p.New = old.WithPairs(asked.Asked.Pairs), cfg.WithPairs(asked.Asked.Pairs)
	}
	return p, nil
}
