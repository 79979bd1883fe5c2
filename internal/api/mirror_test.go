package api

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
	"netbraid/ubus"
)

// TestMirrorStatus: of a daemon that keeps one mirror, the core's.
func TestMirrorStatus(t *testing.T) {
	b := newBench(t)
	got, st := b.call("netbraid.mirror", "status", nil)
	if st != ubus.StatusOK {
		t.Fatal(st)
	}
	const before, after = `{"namespaces":[{"ns":"default","state":"live","kinds":{"link":{"live":true,"objects":0,"bytes":0},`,
		`"lag-ms":0,"parameters":{"rx-buffer-size":134217728,"tx-buffer-size":0,"batch-size":2048,"batch-time-ms":5,"batch-delay-ms":0,` +
			`"sync-batch-limit":1024,"sync-batch-delay-ms":0,"sync-attempt-delay-ms":2000,"pending-max":67108864}}]}`
	if !strings.HasPrefix(got, before) || !strings.HasSuffix(got, after) || !strings.Contains(got, `"losses":0,"incomplete-dumps":0,"resyncs":1,"last-resync-ms":0,`) {
		t.Errorf("netbraid.mirror status:\n%s", got)
	}
	b.with(func(l *loop) { l.refuse = true })
	if _, st := b.call("netbraid.mirror", "status", nil); st != ubus.StatusUnknownError {
		t.Errorf("of a daemon that is ending: %v", st)
	}
}

// mirrors is a Backend that keeps several.
type mirrors struct {
	*loop
	list []MirrorStatus
}

func (m mirrors) MirrorStatus(time.Time) []MirrorStatus { return m.list }

// TestMirrorsOfNamespaces: every member, of every namespace, in their order.
func TestMirrorsOfNamespaces(t *testing.T) {
	b := newBench(t)
	b.server.back = mirrors{b.loop, []MirrorStatus{
		{NS: "default", Buffer: 256 << 20, Status: mirror.Status{State: "live"}},
		{NS: "blue", Status: mirror.Status{
			State: "waiting", RetryIn: 640*time.Millisecond - 1, Lag: 1,
			Kinds:  []mirror.KindStatus{{Kind: rtnl.KindRoute, Objects: 17, Bytes: 5 << 30}, {Kind: rtnl.KindLink, Live: true, Objects: 2}},
			Stats:  mirror.Stats{Messages: 1, Ignored: 2, Malformed: 3, Changes: 4, Losses: 5, Incomplete: 6, Resyncs: 7, LastResync: 8 * time.Millisecond},
			Params: mirror.Params{RxBufferSize: 1, TxBufferSize: 2, BatchSize: 3, BatchTime: 4 * time.Millisecond, BatchDelay: 5 * time.Millisecond, SyncBatchLimit: 6, SyncBatchDelay: 7 * time.Millisecond, SyncAttemptDelay: 8 * time.Second, PendingMax: 9},
		}},
	}}
	const want = `{"namespaces":[{"ns":"default","state":"live","kinds":{},"messages":0,"ignored":0,"malformed":0,"changes":0,"losses":0,"incomplete-dumps":0,"resyncs":0,"last-resync-ms":0,"lag-ms":0,` +
		`"buffer":268435456,"parameters":{"rx-buffer-size":0,"tx-buffer-size":0,"batch-size":0,"batch-time-ms":0,"batch-delay-ms":0,"sync-batch-limit":0,"sync-batch-delay-ms":0,"sync-attempt-delay-ms":0,"pending-max":0}},` +
		`{"ns":"blue","state":"waiting","retry-in-ms":640,"kinds":{"route":{"live":false,"objects":17,"bytes":5368709120},"link":{"live":true,"objects":2,"bytes":0}},` +
		`"messages":1,"ignored":2,"malformed":3,"changes":4,"losses":5,"incomplete-dumps":6,"resyncs":7,"last-resync-ms":8,"lag-ms":1,` +
		`"parameters":{"rx-buffer-size":1,"tx-buffer-size":2,"batch-size":3,"batch-time-ms":4,"batch-delay-ms":5,"sync-batch-limit":6,"sync-batch-delay-ms":7,"sync-attempt-delay-ms":8000,"pending-max":9}}]}`
	if got, st := b.call("netbraid.mirror", "status", nil); got != want || st != ubus.StatusOK {
		t.Errorf("%v\n%s\nwant\n%s", st, got, want)
	}
}
