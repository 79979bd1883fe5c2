package plan

import (
	"errors"
	"fmt"
	"maps"
)

// CheckInvariants tells which promises of the planner do not hold: no two
// operations on one key are in flight, and every address and route that is
// wanted belongs to somebody.
func (p *Planner) CheckInvariants() error {
	var errs []error
	seen := map[any]uint64{}
	for id, op := range p.ledger.flying {
		if other, twice := seen[op.Key]; twice {
			errs = append(errs, fmt.Errorf("operations %d and %d on %v are both in flight", id, other, op.Key))
		}
		seen[op.Key] = id
		if _, ok := p.ledger.byKey[op.Key]; !ok {
			errs = append(errs, fmt.Errorf("%s is in flight and its key is not marked so", op))
		}
	}
	if len(p.ledger.byKey) != len(p.ledger.flying) {
		errs = append(errs, fmt.Errorf("%d keys are marked as in flight, %d operations are", len(p.ledger.byKey), len(p.ledger.flying)))
	}
	for k, c := range p.want.addrs {
		if len(c.by) == 0 {
			errs = append(errs, fmt.Errorf("address %v is wanted by nobody", k))
		}
	}
	return errors.Join(errs...)
}

// CheckDiff tells whether looking at everything would find more to do than the
// dirty keys say: the planner must miss nothing. It is called with nothing in
// flight, and restores what it touches.
func (p *Planner) CheckDiff() error {
	if !p.Idle() || p.hold {
		return nil
	}
	saved := p.ledger
	p.ledger = newLedger()
	p.ledger.entries = maps.Clone(saved.entries)
	records, promote, asked, reads := p.records, maps.Clone(p.promote), maps.Clone(p.asked), p.reads
	p.AllDirty()
	ops := p.Plan(p.now)
	p.ledger = saved
	p.records, p.promote, p.asked, p.reads = records, promote, asked, reads
	for _, op := range ops {
		if _, known := saved.entries[op.Key]; !known {
			return fmt.Errorf("missed by the dirty set: %s", op)
		}
	}
	return nil
}
