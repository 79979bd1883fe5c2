package config

import "time"

// Mirror is a `config mirror` section: the limits of the mirror of a network
// namespace. Zero stands for the default.
type Mirror struct {
	Name string
	Pos  Pos
	// NetNS is the file of the namespace; "" for the daemon's own.
	NetNS            string
	RxBufferSize     int // octets
	TxBufferSize     int // octets
	BatchSize        int // messages
	BatchTime        time.Duration
	BatchDelay       time.Duration
	SyncBatchLimit   int // messages
	SyncBatchDelay   time.Duration
	SyncAttemptDelay time.Duration
}

// netnsDir is where ip-netns(8) keeps the names of namespaces.
const netnsDir = "/run/netns"

const allowNetNS = "a name below " + netnsDir + ", or an absolute path"

func ms(set func(m *Mirror, d time.Duration)) func(*target, value) {
	return func(t *target, v value) { set(t.mirror, time.Duration(v.n)*time.Millisecond) }
}

// mirrorOptions have the names of linux-cp's parameters.
var mirrorOptions = newGroup("mirror", "A `config mirror` section: a network namespace that is mirrored besides the daemon's own, or (without `netns`) the limits of the daemon's own.",
	spec{name: "netns", kind: text, allow: allowNetNS, def: "the daemon's own", meaning: "network namespace", set: func(t *target, v value) { t.p.netns(t, &v, &t.mirror.NetNS) }},
	spec{name: "rx_buffer_size", kind: number, min: 4096, max: 1 << 30, def: "134217728", meaning: "receive buffer of the notification socket, octets; a route takes 832", set: func(t *target, v value) { t.mirror.RxBufferSize = int(v.n) }},
	spec{name: "tx_buffer_size", kind: number, min: 4096, max: 1 << 30, def: "the system's", meaning: "send buffer of the request socket, octets", set: func(t *target, v value) { t.mirror.TxBufferSize = int(v.n) }},
	spec{name: "batch_size", kind: number, min: 1, max: 1 << 20, def: "2048", meaning: "messages worked off before anything else is looked at", set: func(t *target, v value) { t.mirror.BatchSize = int(v.n) }},
	spec{name: "batch_time", kind: number, min: 1, max: 1000, def: "5", meaning: "or so many milliseconds, whichever comes first", set: ms(func(m *Mirror, d time.Duration) { m.BatchTime = d })},
	spec{name: "batch_delay", kind: number, min: 0, max: 1000, def: "0", meaning: "pause after a full batch, ms", set: ms(func(m *Mirror, d time.Duration) { m.BatchDelay = d })},
	spec{name: "sync_batch_limit", kind: number, min: 1, max: 1 << 20, def: "1024", meaning: "messages in one slice of the end of a synchronisation", set: func(t *target, v value) { t.mirror.SyncBatchLimit = int(v.n) }},
	spec{name: "sync_batch_delay", kind: number, min: 0, max: 1000, def: "0", meaning: "pause between such slices, ms", set: ms(func(m *Mirror, d time.Duration) { m.SyncBatchDelay = d })},
	spec{name: "sync_attempt_delay", kind: number, min: 10, max: 60000, def: "2000", meaning: "longest pause before another attempt while notifications keep getting lost, ms; it begins near 0", set: ms(func(m *Mirror, d time.Duration) { m.SyncAttemptDelay = d })},
)

// notInName tells what no name of a namespace has.
func notInName(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f }

// mirrorSection reads a `config mirror` section. Two for one namespace are an
// error: only one could hold. One with a wrong namespace is for none: not for
// the daemon's own.
func (p *parser) mirrorSection(s *section) {
	m := &Mirror{Name: s.name, Pos: p.at(s.line)}
	p.apply(&target{p: p, sec: s, mirror: m}, func(o *option) { p.unknown(s, o) }, mirrorOptions)
	if m.NetNS == "" && s.find("netns") != nil {
		return
	}
	for _, other := range p.cfg.Mirrors {
		if other.NetNS == m.NetNS {
			p.add(Problem{Pos: m.Pos, Severity: Error, Section: s.title, Option: "netns", Value: m.NetNS,
				Reason: "this namespace has a section already, at " + other.Pos.String(), Allowed: "one section for each namespace", Code: "INVALID_OPTION"})
			return
		}
	}
	p.cfg.Mirrors = append(p.cfg.Mirrors, m)
}
