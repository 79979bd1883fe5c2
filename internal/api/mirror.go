package api

import (
	"time"

	"netbraid/internal/core"
	"netbraid/internal/mirror"
	"netbraid/ubus"
)

// MirrorStatus is how the mirror of one network namespace stands.
type MirrorStatus struct {
	NS            string // what the namespace is called; the daemon's own is "default"
	mirror.Status        // as mirror.Engine.Status gives it
	// Buffer is the receive buffer that the notification socket has, in octets
	// as the kernel counts them (twice what was asked for, less where it may
	// not); 0 when that is not known.
	Buffer int
	Reason string // why there is no socket; empty when there is
}

// Mirrors is what a Backend has besides when it keeps more mirrors than the
// core's, or knows their sockets. Without it the object netbraid.mirror shows
// the core's alone.
type Mirrors interface {
	// MirrorStatus tells how every mirror stands, in an order that does not
	// change. Only to be called on the loop.
	MirrorStatus(now time.Time) []MirrorStatus
}

var mirrorMethods = []ubus.Method{method("status")}

// mirrorTable serves the object netbraid.mirror.
func (s *Server) mirrorTable() map[string]handler {
	return map[string]handler{"status": s.mirrorStatus}
}

func (s *Server) mirrorStatus(r *ubus.Request) {
	s.onLoop(r, func(c *core.Core, now time.Time) {
		list := []MirrorStatus{{NS: "default", Status: c.Mirror().Status(now)}}
		if m, ok := s.back.(Mirrors); ok {
			list = m.MirrorStatus(now)
		}
		out := ubus.Array{}
		for _, m := range list {
			out = append(out, mirrorReply(m))
		}
		s.reply(r, ubus.Table{{Name: "namespaces", Value: out}})
	})
}

// mirrorReply is a member of what netbraid.mirror status answers.
func mirrorReply(m MirrorStatus) ubus.Table {
	kinds := ubus.Table{}
	for _, k := range m.Kinds {
		kinds = append(kinds, ubus.Field{Name: k.Kind.String(), Value: ubus.Table{
			{Name: "live", Value: k.Live}, {Name: "objects", Value: int64(k.Objects)}, {Name: "bytes", Value: int64(k.Bytes)}}})
	}
	t := ubus.Table{{Name: "ns", Value: m.NS}, {Name: "state", Value: m.State}}
	if m.Reason != "" {
		t = append(t, ubus.Field{Name: "reason", Value: m.Reason})
	}
	if m.RetryIn > 0 {
		t = append(t, ubus.Field{Name: "retry-in-ms", Value: ms(m.RetryIn)})
	}
	st := m.Stats
	t = append(t, ubus.Table{
		{Name: "kinds", Value: kinds},
		{Name: "messages", Value: int64(st.Messages)},
		{Name: "ignored", Value: int64(st.Ignored)},
		{Name: "malformed", Value: int64(st.Malformed)},
		{Name: "changes", Value: int64(st.Changes)},
		{Name: "losses", Value: int64(st.Losses)},
		{Name: "incomplete-dumps", Value: int64(st.Incomplete)},
		{Name: "resyncs", Value: int64(st.Resyncs)},
		{Name: "last-resync-ms", Value: ms(st.LastResync)},
		{Name: "lag-ms", Value: ms(m.Lag)},
	}...)
	if m.Buffer > 0 {
		t = append(t, ubus.Field{Name: "buffer", Value: int64(m.Buffer)})
	}
	return append(t, ubus.Field{Name: "parameters", Value: mirrorParams(m.Params)})
}

// mirrorParams are the parameters by linux-cp's names; 0 for one that the
// engine leaves to the system, or switched off.
func mirrorParams(p mirror.Params) ubus.Table {
	return ubus.Table{
		{Name: "rx-buffer-size", Value: int64(p.RxBufferSize)},
		{Name: "tx-buffer-size", Value: int64(p.TxBufferSize)},
		{Name: "batch-size", Value: int64(p.BatchSize)},
		{Name: "batch-time-ms", Value: ms(p.BatchTime)},
		{Name: "batch-delay-ms", Value: ms(p.BatchDelay)},
		{Name: "sync-batch-limit", Value: int64(p.SyncBatchLimit)},
		{Name: "sync-batch-delay-ms", Value: ms(p.SyncBatchDelay)},
		{Name: "sync-attempt-delay-ms", Value: ms(p.SyncAttemptDelay)},
		{Name: "pending-max", Value: int64(p.PendingMax)},
	}
}

// ms is a time span in whole milliseconds, the last one begun counted.
func ms(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
