package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"netbraid/internal/ovs/ovsdb/rfc7047"
)

const (
	database  = "Open_vSwitch"
	monitorID = "netbraid"
	// lockName is the lock that ovs-vswitchd holds on the server as long as it is
	// connected.
	lockName = "ovs_vswitchd"

	connectTimeout = 5 * time.Second
	callTimeout    = 30 * time.Second
	// probeTime is how often the lock is looked at; probeSoon while nobody has it.
	probeTime = 5 * time.Second
	probeSoon = time.Second
	// patience is how long ovs-vswitchd may take before it is said not to answer.
	patience = 3 * time.Second
	// settleTime is how long ovs-vswitchd must have been there before its words in
	// the database are believed without any other proof.
	settleTime = 2 * time.Second
	// quickRetries is how many conflicts in a row are tried again at once.
	quickRetries = 3
)

// session is one connection, from the first contents on.
type session struct {
	b       *Backend
	conn    *rfc7047.Conn
	changed chan struct{} // the replica has changed; holds one

	mu    sync.Mutex
	rep   *rfc7047.Replica
	moved bool // cur_cfg has changed since ovs-vswitchd was last seen to come

	// The rest is the backend's goroutine's.
	need      int64     // the cur_cfg that our last write waits for
	needSince time.Time // when it was written
	alive     bool      // ovs-vswitchd holds its lock
	aliveAt   time.Time // when that became so, or not so
	aliveKnow bool
	probeAt   time.Time
	restUntil time.Time // of changes by others that are not looked at at once
	conflicts int
	notBefore time.Time // of the next transaction, after conflicts or a refusal
	delay     time.Duration
	refused   string // the database's words about the transaction as a whole
}

// connect connects, and works until the connection ends; ok tells whether it
// came as far as the database's contents.
func (b *Backend) connect() (ok bool, err error) {
	ctx, cancel := context.WithTimeout(b.ctx, connectTimeout)
	defer cancel()
	nc, err := b.dial(ctx)
	if err != nil {
		return false, err
	}
	s := &session{b: b, changed: make(chan struct{}, 1)}
	s.conn = rfc7047.NewConn(nc, rfc7047.ConnOptions{Notify: s.notify})
	defer s.conn.Close()
	if err := s.open(ctx); err != nil {
		return false, err
	}
	b.connected(s.rep.Schema.Version)
	return true, s.work()
}

// open reads the schema and the contents.
func (s *session) open(ctx context.Context) error {
	params, _ := json.Marshal([]string{database})
	raw, err := s.conn.Call(ctx, "get_schema", params)
	if err != nil {
		return err
	}
	schema, err := rfc7047.ParseSchema(raw)
	if err != nil {
		return err
	}
	rep := rfc7047.NewReplica(schema, columns)
	if err := checkSchema(rep); err != nil {
		return err
	}
	replies, err := s.conn.Start(ctx, rfc7047.Request{Method: "monitor_cond", Params: rep.AppendMonitor(nil, monitorID), Then: func(raw json.RawMessage) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rep = rep
		return rep.Initial(raw)
	}})
	if err != nil {
		return err
	}
	_, err = replies[0].Wait(ctx)
	return err
}

// notify takes what the server tells, on the connection's goroutine.
func (s *session) notify(m *rfc7047.Message) error {
	switch m.Method {
	case "update2":
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.rep == nil {
			return fmt.Errorf("%w: an update before the contents", rfc7047.ErrProtocol)
		}
		before := curConfig(s.rep)
		if err := s.rep.Update2(m.Params, monitorID); err != nil {
			return err
		}
		s.moved = s.moved || curConfig(s.rep) != before
		select {
		case s.changed <- struct{}{}:
		default:
		}
	case "monitor_canceled":
		return errors.New("the database is gone, or has another schema now")
	}
	return nil
}

func curConfig(r *rfc7047.Replica) (cur int64) {
	for _, row := range r.Table("Open_vSwitch") {
		cur, _ = row.Int("cur_cfg")
	}
	return cur
}

// work follows the database until the connection ends.
func (s *session) work() error {
	s.mu.Lock()
	s.need, _ = newView(s.rep, s.b.opt.ID).config()
	s.mu.Unlock()
	start := time.Now()
	s.needSince = start
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-s.b.ctx.Done():
			return s.b.ctx.Err()
		case <-s.conn.Done():
			return s.conn.Err()
		case <-s.b.wake:
			s.b.take()
			s.notBefore, s.delay, s.refused, s.conflicts = time.Time{}, 0, "", 0
		case <-s.changed:
			if rest := time.Until(s.restUntil); rest > 0 {
				timer.Reset(rest)
				continue
			}
		case <-timer.C:
		}
		now := time.Now()
		if now.Sub(start) >= stable {
			s.b.lasting()
		}
		if !now.Before(s.probeAt) {
			if err := s.probe(now); err != nil {
				return err
			}
		}
		deadline, err := s.pass()
		if err != nil {
			return err
		}
		// However fast others change the database, comparing takes a quarter of a
		// processor at most.
		done := time.Now()
		s.restUntil = done.Add(min(3*done.Sub(now), time.Second))
		timer.Reset(time.Until(deadline))
	}
}

// probe looks whether ovs-vswitchd is there: whether its lock is held. Lock and
// unlock go out in one piece, so that the server does both before anybody else
// has a turn; nothing in the database changes.
func (s *session) probe(now time.Time) error {
	ctx, cancel := context.WithTimeout(s.b.ctx, callTimeout)
	defer cancel()
	params, _ := json.Marshal([]string{lockName})
	replies, err := s.conn.Start(ctx, rfc7047.Request{Method: "lock", Params: params}, rfc7047.Request{Method: "unlock", Params: params})
	if err != nil {
		return err
	}
	raw, err := replies[0].Wait(ctx)
	if _, err := replies[1].Wait(ctx); err != nil && !isRPC(err) {
		return err
	}
	var lock struct{ Locked *bool }
	alive := true // a server that refuses locks tells nothing
	if err != nil && !isRPC(err) {
		return err
	} else if err == nil {
		if err := json.Unmarshal(raw, &lock); err != nil || lock.Locked == nil {
			return fmt.Errorf("%w: answer to lock: %.100s", rfc7047.ErrProtocol, raw)
		}
		alive = !*lock.Locked
	}
	if !s.aliveKnow || alive != s.alive {
		s.aliveAt = now
		if s.aliveKnow {
			if alive {
				s.b.log.Info("ovsdb: ovs-vswitchd is there")
			} else {
				s.b.log.Warn("ovsdb: ovs-vswitchd is not connected to ovsdb-server any more")
			}
		}
		s.mu.Lock()
		s.moved = s.moved && s.aliveKnow && !alive
		s.mu.Unlock()
	}
	s.alive, s.aliveKnow = alive, true
	s.probeAt = now.Add(probeTime)
	if !alive {
		s.probeAt = now.Add(probeSoon)
	}
	return nil
}

func isRPC(err error) bool {
	var e *rfc7047.RPCError
	return errors.As(err, &e)
}

// pass compares once, writes what differs, and reports. It returns when to
// look again, should nothing happen before.
func (s *session) pass() (time.Time, error) {
	now := time.Now()
	held := func(k key) bool { return s.b.ledger.held(k, now) }
	s.mu.Lock()
	v := newView(s.rep, s.b.opt.ID)
	p := newPlan(v, s.b.cur, held)
	if len(p.ops) > 0 && !now.Before(s.notBefore) {
		s.mu.Unlock()
		if err := s.write(p); err != nil {
			return now, err
		}
		now = time.Now()
		s.mu.Lock()
		v = newView(s.rep, s.b.opt.ID)
		p = newPlan(v, s.b.cur, held)
	}
	l, again := s.liveness(v, now)
	list, facts := states(v, s.b.cur, p, l, func(k key) string { return s.b.ledger.problem(k, now) }, s.b.facts)
	s.b.facts = facts
	s.mu.Unlock()
	if s.refused != "" {
		for i := range list {
			list[i].Err, list[i].There = s.refused, false
		}
	}
	if len(p.ops) > 0 { // more to do: after a conflict, or for what came meanwhile
		again = earlier(again, s.notBefore)
		if now.After(s.notBefore) {
			again = now
		}
	}
	s.b.report(list)
	if next, cur := v.config(); len(p.ops) == 0 && (l.err != "" || cur >= min(s.need, next)) {
		s.b.mu.Lock()
		s.b.done = s.b.taken
		s.b.mu.Unlock()
	}
	again = earlier(again, s.b.ledger.deadline(now))
	return earlier(again, s.probeAt), nil
}

func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// write does a plan's transaction. The database's refusal is no error: it is
// noted, and tried again later or, after a conflict, at once.
func (s *session) write(p *plan) error {
	ctx, cancel := context.WithTimeout(s.b.ctx, callTimeout)
	defer cancel()
	raw, err := s.conn.Call(ctx, "transact", rfc7047.AppendTransact(nil, database, p.ops))
	if err != nil && !isRPC(err) {
		return err
	}
	var results []rfc7047.Result
	if err == nil {
		results, err = rfc7047.DecodeResults(raw, p.ops, s.rep.Schema)
	}
	now := time.Now()
	var te *rfc7047.TransactError
	switch {
	case err == nil:
		s.wrote(p, results, now)
	case errors.As(err, &te) && te.Conflict():
		s.conflicts++
		if s.conflicts > quickRetries {
			s.postpone(now, 50*time.Millisecond, 2*time.Second)
		}
		s.b.log.Debug("ovsdb: somebody else was faster, comparing again", "error", err)
	case errors.As(err, &te) && te.Index >= 0 && p.keys[te.Index] != (key{}):
		k := p.keys[te.Index]
		s.b.log.Warn("ovsdb: refused", "what", k.String(), "error", err)
		s.b.ledger.note(k, now, err.Error())
	case errors.As(err, &te) || isRPC(err):
		if s.refused != err.Error() {
			s.b.log.Warn("ovsdb: the transaction is refused", "error", err)
		}
		s.refused = err.Error()
		s.postpone(now, time.Second, maxDelay)
	default:
		return err
	}
	return nil
}

// postpone lets the next transaction wait, each time twice as long.
func (s *session) postpone(now time.Time, first, last time.Duration) {
	s.delay = min(max(2*s.delay, first), last)
	s.notBefore = now.Add(s.delay)
}

// wrote notes a transaction that was done.
func (s *session) wrote(p *plan, results []rfc7047.Result, now time.Time) {
	s.conflicts, s.delay, s.refused, s.notBefore = 0, 0, "", time.Time{}
	for i, r := range results {
		if p.one[i] && r.Count != 1 {
			s.b.log.Debug("ovsdb: a row has gone meanwhile", "what", p.keys[i].String())
		}
		for _, row := range r.Rows { // the select of next_cfg
			s.need, _ = row.Int("next_cfg")
			s.needSince = now
		}
	}
	for k := range p.touched {
		s.b.ledger.note(k, now, "")
	}
	s.b.log.Info("ovsdb: wrote", "added", p.counts.added, "changed", p.counts.changed, "removed", p.counts.removed)
}

// liveness says what is known of ovs-vswitchd, and when to ask again.
func (s *session) liveness(v *view, now time.Time) (l liveness, again time.Time) {
	next, cur := v.config()
	// Somebody may have made the database anew, and counts from 0.
	behind := cur < min(s.need, next)
	late := time.Time{}
	switch {
	case s.aliveKnow && !s.alive:
		late = s.aliveAt.Add(patience)
		l.err = "ovs-vswitchd does not answer (it is not connected to ovsdb-server: is it running?)"
	case behind:
		late = s.needSince.Add(patience)
		l.err = fmt.Sprintf("ovs-vswitchd does not answer (it has done configuration %d, not yet %d)", cur, s.need)
	}
	if late.After(now) {
		l.err = ""
		again = late
	}
	trusted := s.aliveKnow && s.alive && !behind
	settled := s.aliveAt.Add(settleTime)
	if trusted && settled.After(now) {
		again = earlier(again, settled)
	}
	moved := s.moved
	l.proven = func(row rfc7047.Row) bool {
		return trusted && (moved || row.Text("mac_in_use") != "" || !settled.After(now))
	}
	return l, again
}
