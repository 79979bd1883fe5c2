package mirror

import "time"

// Params are the limits of an engine and of the sockets that feed it. The names
// and, where they still mean something, the defaults are those of VPP's
// linux-cp; zero stands for the default.
type Params struct {
	// RxBufferSize is the receive buffer of the notification socket in octets;
	// default 128 MiB. A notification of a route takes 832 octets of it.
	RxBufferSize int
	// TxBufferSize is the send buffer of the request socket in octets; default
	// is the system's.
	TxBufferSize int
	// BatchSize and BatchTime bound what is worked off before the loop looks at
	// anything else: so many messages or so long, whichever comes first.
	// Defaults 2048 and 5 ms.
	BatchSize int
	BatchTime time.Duration
	// BatchDelay is a pause after a batch that was full; default none (linux-cp
	// 50 ms: it shares its thread with forwarding).
	BatchDelay time.Duration
	// SyncBatchLimit bounds one slice of the end of a synchronisation, in
	// messages; default 1024.
	SyncBatchLimit int
	// SyncBatchDelay is a pause between such slices; default none (linux-cp
	// 20 ms).
	SyncBatchDelay time.Duration
	// SyncAttemptDelay bounds the delay before a new attempt when loss follows
	// loss; default 2 s. The first two are immediate, the third waits 10 ms, and
	// each after that twice as long as the one before.
	SyncAttemptDelay time.Duration
	// PendingMax bounds the octets of notifications kept while a dump runs;
	// beyond it the attempt counts as lost. Default 64 MiB.
	PendingMax int
	// Seed of the hash of routes.
	Seed uint64
}

// DefaultParams has every default filled in.
func DefaultParams() Params { return Params{}.withDefaults() }

func (p Params) withDefaults() Params {
	fill(&p.RxBufferSize, 128<<20)
	fill(&p.BatchSize, 2048)
	fill(&p.BatchTime, 5*time.Millisecond)
	fill(&p.SyncBatchLimit, 1024)
	fill(&p.SyncAttemptDelay, 2*time.Second)
	fill(&p.PendingMax, 64<<20)
	return p
}

func fill[T int | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// delay is how long the nth delayed attempt waits, n from 0.
func (p Params) delay(n int) time.Duration {
	return min(10*time.Millisecond<<min(n, 8), p.SyncAttemptDelay)
}
