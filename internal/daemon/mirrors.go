package daemon

import (
	"time"

	"netbraid/internal/api"
)

// MirrorStatus tells how the mirrors stand, that of the daemon's own namespace
// first. Only to be called on the loop.
func (d *Daemon) MirrorStatus(now time.Time) []api.MirrorStatus {
	out := []api.MirrorStatus{{NS: "default", Status: d.core.Mirror().Status(now), Buffer: d.kern.Buffer(), Reason: d.core.Unopened(0)}}
	for _, s := range d.core.Spaces() {
		out = append(out, api.MirrorStatus{NS: s.Path, Status: s.Mirror.Status(now), Buffer: d.spaces.Buffer(s.NS), Reason: d.core.Unopened(s.NS)})
	}
	return out
}

var _ api.Mirrors = (*Daemon)(nil)
