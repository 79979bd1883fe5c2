package pair

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

var zeroTime time.Time

func nsOf(k key) model.NS { return model.NS(k.side) }

// linux asks for an operation in a namespace, unless one on its key is in
// flight or waits for its next attempt. One that succeeded and is asked for
// again unchanged was not kept: it waits as a failed one does.
func (e *Engine) linux(k key, op *plan.Op, object string) {
	if !e.ledger.admit(e.now, k) {
		return
	}
	asked := op.Kind.String() + " " + object
	if e.ledger.wrote[k] == asked {
		delete(e.ledger.wrote, k)
		f := e.ledger.fail(e.now, k, object, errors.New("the kernel accepted this and kept another value"))
		if f.attempts == 1 {
			e.log(levelWarn, "Linux did not keep what was written", "object", object)
		}
		return
	}
	e.lastID++
	op.ID, op.Owner = e.lastID, "dataplane "+e.o.Name
	if op.Key == nil {
		op.Key = plan.LinkKey{NS: nsOf(k), Name: op.Device}
	}
	e.ledger.flying[k] = flight{}
	e.writing[op.ID] = write{k: k, object: object, asked: asked}
	e.toLinux[nsOf(k)] = append(e.toLinux[nsOf(k)], op)
}

func (e *Engine) sendLinux() {
	var nss []model.NS
	for ns := range e.toLinux {
		nss = append(nss, ns)
	}
	slices.Sort(nss)
	for _, ns := range nss {
		e.act(Linux{NS: ns, Ops: e.toLinux[ns]})
		delete(e.toLinux, ns)
	}
}

// Wrote takes the results of operations in a namespace. It comes after every
// notification that they caused.
func (e *Engine) Wrote(now time.Time, ns model.NS, results []plan.Result) {
	e.now = now
	for _, r := range results {
		w, ok := e.writing[r.ID]
		if !ok {
			continue
		}
		delete(e.writing, r.ID)
		delete(e.ledger.flying, w.k)
		switch {
		case r.Err == nil:
			if e.ledger.wrote[w.k] = w.asked; w.k.class == ofSysctl {
				e.ledger.forget(w.k)
			}
		case w.k.class == ofSysctl && errors.Is(r.Err, fs.ErrNotExist):
			e.ledger.forget(w.k) // a link without IPv6 has none to keep
		default:
			delete(e.ledger.wrote, w.k)
			f := e.ledger.fail(now, w.k, w.object, fmt.Errorf("Linux: %w", r.Err))
			if f.attempts == 1 {
				e.log(levelWarn, "Linux refused an operation", "object", w.object, "error", r.Err.Error())
			}
		}
		e.lookAgain(w.k)
	}
}

// deleteLink removes a VLAN link that was made for a sub-interface which is
// gone.
func (e *Engine) deleteLink(u *unit, index uint32) {
	if l := e.link(u.ns, index); l != nil {
		e.linux(linuxKey(u.ns, ofLink, index), &plan.Op{Kind: plan.LinkDelete, Reason: plan.ForRelease, Device: l.Name,
			Link: &rtnl.LinkRequest{Link: rtnl.Link{Index: index}}}, "link "+l.Name)
	}
}

// keepOp lets IPv6 addresses stay when the link goes down.
func keepOp(ns model.NS, l *rtnl.Link) *plan.Op {
	k := model.SysctlKey{NS: ns, Index: l.Index, Name: "ipv6/conf/keep_addr_on_down"}
	return &plan.Op{Kind: plan.SysctlSet, Device: l.Name, Key: k, Sysctl: k, Value: "1"}
}
