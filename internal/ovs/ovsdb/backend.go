package ovsdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

// Options is what a Backend needs.
type Options struct {
	// Target is where ovsdb-server listens: unix:PATH, tcp:HOST:PORT,
	// ssl:HOST:PORT. Empty: the socket of this machine (DefaultTarget).
	Target string
	// For ssl, files in PEM: our certificate, its key, the CA's certificate.
	Cert, Key, CACert string
	// ID marks what is ours in the database. It must be the same in the next
	// process and another in every other daemon on this database. Empty: "1".
	ID  string
	Log *slog.Logger // nil: slog.Default()
	// Report is told every change of the state of a switch, also that one that
	// was wanted is gone (not There, no Err). It is called from one goroutine and
	// must not call Close.
	Report func(model.SwitchState)
}

// Backend keeps the bridges of one database as wanted.
type Backend struct {
	opt  Options
	log  *slog.Logger
	dial func(context.Context) (net.Conn, error)
	ctx  context.Context
	stop context.CancelFunc
	over chan struct{} // closed when nothing runs any more
	wake chan struct{} // there is a new want; holds one

	mu   sync.Mutex
	want []model.Switch
	sets int // how often Set has been called
	done int // the call that all is done of

	// The rest is the goroutine's.
	cur      []model.Switch // the want that is worked on
	taken    int            // of which call it is
	ledger   ledger
	facts    facts // the newest that were proven
	reported map[string]model.SwitchState
	failed   trouble // connecting
	short    int     // connections in a row that did not last
}

// trouble counts failures of one kind, so that they are said once.
type trouble struct {
	text  string
	count int
}

// DefaultTarget is the socket of this machine's ovsdb-server.
func DefaultTarget() string {
	const path = "/run/openvswitch/db.sock"
	if _, err := os.Stat(path); err != nil {
		if _, err := os.Stat("/var" + path); err == nil {
			return "unix:/var" + path
		}
	}
	return "unix:" + path
}

// Available tells whether an ovsdb-server with a database Open_vSwitch answers
// at target (see Options) within a second. It cannot ask over ssl.
func Available(target string) bool {
	if target == "" {
		target = DefaultTarget()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	t := rfc7047.Target{Addr: target}
	nc, err := t.Dial(ctx)
	if err != nil {
		return false
	}
	conn := rfc7047.NewConn(nc, rfc7047.ConnOptions{})
	defer conn.Close()
	raw, err := conn.Call(ctx, "list_dbs", []byte("[]"))
	return err == nil && strings.Contains(string(raw), `"`+database+`"`)
}

// New starts a backend. It does nothing before the first Set.
func New(opt Options) *Backend {
	b := prepare(opt)
	go b.run()
	return b
}

func prepare(opt Options) *Backend {
	if opt.ID == "" {
		opt.ID = "1"
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	b := &Backend{
		opt: opt, over: make(chan struct{}), wake: make(chan struct{}, 1),
		ledger: ledger{}, reported: map[string]model.SwitchState{},
	}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.log = opt.Log.With("target", b.address())
	b.dial = func(ctx context.Context) (net.Conn, error) {
		t := rfc7047.Target{Addr: b.address(), Cert: opt.Cert, Key: opt.Key, CACert: opt.CACert}
		return t.Dial(ctx)
	}
	return b
}

// Set says what is wanted from now on: every switch of this backend. What was
// made for an earlier want and is not in this one is removed. It returns at
// once.
func (b *Backend) Set(want []model.Switch) {
	list := make([]model.Switch, 0, len(want))
	for i := range want {
		if w := want[i]; w.Backend != "kernel" {
			w.Ports = slices.Clone(w.Ports)
			list = append(list, w)
		}
	}
	slices.SortStableFunc(list, func(a, b model.Switch) int { return compare(a.Name, b.Name) })
	b.mu.Lock()
	b.want = list
	b.sets++
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Done tells whether the database is as was said with the last call of Set, as
// far as others let it, and ovs-vswitchd, if it is there, has done it.
func (b *Backend) Done() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sets > 0 && b.done == b.sets
}

// Close ends the backend. Everything stays as it is.
func (b *Backend) Close() {
	b.stop()
	<-b.over
}

// take makes the newest want the one that is worked on.
func (b *Backend) take() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sets == 0 {
		return false
	}
	for i := range b.cur {
		old := &b.cur[i]
		j := slices.IndexFunc(b.want, func(w model.Switch) bool { return w.Name == old.Name })
		if j < 0 {
			b.ledger.forget(key{sw: old.Name})
			continue
		}
		b.forgetChanged(old, &b.want[j])
	}
	for i := range b.want {
		w := &b.want[i]
		if !slices.ContainsFunc(b.cur, func(o model.Switch) bool { return o.Name == w.Name }) {
			b.forgetChanged(&model.Switch{}, w)
		}
	}
	b.cur, b.taken = b.want, b.sets
	return true
}

// forgetChanged lets what is wanted otherwise now be written at once.
func (b *Backend) forgetChanged(old, w *model.Switch) {
	if old.Equal(w) {
		return
	}
	b.ledger.expect(key{sw: w.Name})
	if old.Name == "" {
		b.ledger.expect(key{w.Name, w.Name})
	}
	had := make(map[string]*model.SwitchPort, len(old.Ports))
	for i := range old.Ports {
		had[old.Ports[i].Name] = &old.Ports[i]
	}
	for i := range w.Ports {
		if o := had[w.Ports[i].Name]; o == nil || !o.Equal(&w.Ports[i]) {
			b.ledger.expect(key{w.Name, w.Ports[i].Name})
		}
		delete(had, w.Ports[i].Name)
	}
	for name := range had {
		b.ledger.forget(key{w.Name, name})
	}
}

const (
	minRetry = 50 * time.Millisecond
	maxRetry = 4 * time.Second
)

// stable is how long a connection must last not to count as one of a row of
// failures.
const stable = 2 * time.Second

// run connects over and over until the backend is closed.
func (b *Backend) run() {
	defer close(b.over)
	select {
	case <-b.wake:
	case <-b.ctx.Done():
		return
	}
	b.take()
	var delay time.Duration
	for {
		start := time.Now()
		ok, err := b.connect()
		if b.ctx.Err() != nil {
			return
		}
		// A server that was there for a while and went is tried again at once; one
		// that cannot be reached, or talks nonsense, less and less often.
		if ok && time.Since(start) >= stable {
			delay, b.short = 0, 0
		}
		b.ended(ok, err)
		delay = min(max(2*delay, minRetry), maxRetry)
		if !b.pause(delay) {
			return
		}
	}
}

// pause waits before the next attempt; a new want is taken and reported.
func (b *Backend) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return false
		case <-b.wake:
			b.take()
			b.reportUnreachable()
		case <-timer.C:
			return true
		}
	}
}

// ended logs and reports why there is no connection. After one that could be
// had it is the next attempt that decides what is reported, unless several in
// a row ended soon.
func (b *Backend) ended(connected bool, err error) {
	if connected {
		if b.short++; b.short <= 2 {
			b.log.Warn("ovsdb: connection lost", "error", err)
		}
		if b.failed = (trouble{}); b.short == 1 && !errors.Is(err, rfc7047.ErrProtocol) {
			return
		}
	}
	text := err.Error()
	if b.failed.count++; b.failed.text != text {
		b.failed.text = text
		if !connected && len(b.cur) > 0 {
			b.log.Warn("ovsdb: cannot reach ovsdb-server, trying again", "error", err)
		}
	}
	b.reportUnreachable()
}

// connected logs a new connection; again with those that were too short to be
// logged.
func (b *Backend) connected(schema string) {
	if b.short <= 1 {
		b.log.Info("ovsdb: connected", "schema", schema, "failed_attempts", b.failed.count)
	}
	b.failed = trouble{}
}

// lasting notes that a connection has lasted.
func (b *Backend) lasting() {
	if b.short > 1 {
		b.log.Info("ovsdb: connected for good", "short_connections", b.short)
	}
	b.short = 0
}

// reportUnreachable says of every switch that nothing is known of it any more.
// Ports keep the numbers that they had: they go on forwarding.
func (b *Backend) reportUnreachable() {
	if b.failed.text == "" {
		return
	}
	list := make([]model.SwitchState, 0, len(b.cur))
	for i := range b.cur {
		w := &b.cur[i]
		s := model.SwitchState{Name: w.Name, Err: fmt.Sprintf("cannot work with ovsdb-server at %s: %s", b.address(), b.failed.text)}
		old := b.reported[w.Name]
		for _, p := range w.Ports {
			state := model.SwitchPortState{Name: p.Name}
			if j, ok := slices.BinarySearchFunc(old.Ports, p.Name, func(s model.SwitchPortState, n string) int { return compare(s.Name, n) }); ok {
				state = old.Ports[j]
			}
			s.Ports = append(s.Ports, state)
		}
		list = append(list, s)
	}
	b.report(list)
}

// report tells the changes since it was called last.
func (b *Backend) report(list []model.SwitchState) {
	now := make(map[string]bool, len(list))
	for i := range list {
		s := &list[i]
		now[s.Name] = true
		if old, ok := b.reported[s.Name]; ok && sameState(&old, s) {
			continue
		}
		b.reported[s.Name] = *s
		b.tell(*s)
	}
	for name := range b.reported {
		if !now[name] {
			delete(b.reported, name)
			b.tell(model.SwitchState{Name: name})
		}
	}
}

func (b *Backend) tell(s model.SwitchState) {
	if b.opt.Report != nil && b.ctx.Err() == nil {
		b.opt.Report(s)
	}
}

// address is where the server is looked for.
func (b *Backend) address() string {
	if b.opt.Target != "" {
		return b.opt.Target
	}
	return DefaultTarget()
}
