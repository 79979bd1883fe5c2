package pair

import (
	"errors"
	"fmt"

	"netbraid/internal/dataplane"
)

// interfaceChanged takes an interface as it is now. live: somebody has just
// changed it.
func (e *Engine) interfaceChanged(i dataplane.Interface, live bool) {
	old := e.dp.ifaces[i.Index]
	if old != nil && (old.Name != i.Name && !live || old.Parent != i.Parent || old.Sub != i.Sub) {
		e.interfaceGone(i.Index) // another interface that has its number
		old = nil
	}
	e.dp.put(i)
	e.holdBinding(i.Index)
	u := e.byPhy[i.Index]
	if old == nil || old.Name != i.Name {
		e.unrelated = true
		e.fib.InterfacesChanged()
		if t := e.units[unitID{phy: i.Name}]; t != nil {
			e.markFamily(t)
		}
		e.discoverSub(&i)
	}
	if old != nil && old.Up != i.Up {
		e.want(dataplane.KindAddr) // going down may have cost IPv6 addresses
	}
	if u == nil {
		return
	}
	switch {
	case !live || old == nil:
	case u.active:
		e.dpNoticed(u, old, &i)
	default:
		e.echoes(u, old, &i)
	}
	e.markFamily(u)
}

// echoes looks for changes by others while operations on the same attributes
// are in flight; nothing is taken over.
func (e *Engine) echoes(u *unit, old, i *dataplane.Interface) {
	if old.Up != i.Up {
		e.echo(u, ofUp, func(f flight) bool { return f.on == i.Up })
	}
	if old.MTU != i.MTU {
		e.echo(u, ofMTU, func(f flight) bool { return f.value == i.MTU })
	}
	if old.MAC != i.MAC {
		e.echo(u, ofMAC, func(f flight) bool { return f.mac == i.MAC })
	}
}

// dpNoticed takes a change of the dataplane's interface over, if that is
// configured: unless it is what was last told, or follows from what the parent
// is.
func (e *Engine) dpNoticed(u *unit, old, i *dataplane.Interface) {
	s := e.specOf(u)
	take := s != nil && s.Sync
	clamps := e.conn.caps.Clamps
	if old.Up != i.Up {
		induced := clamps && u.dpExpect == expect(i.Up)
		u.dpExpect = nothing
		if clamps {
			for _, c := range e.children(u) {
				if ci := e.dp.ifaces[c.phy]; c.active && ci != nil && ci.Up != i.Up {
					c.dpExpect = expect(i.Up)
				}
			}
		}
		if !e.echo(u, ofUp, func(f flight) bool { return f.on == i.Up }) && take && !induced {
			u.want.up = i.Up
		}
	}
	if p := e.parentIface(u); old.MTU != i.MTU && !(clamps && p != nil && i.MTU == p.MTU && u.want.mtu > i.MTU) {
		if !e.echo(u, ofMTU, func(f flight) bool { return f.value == i.MTU }) && take && i.MTU != 0 {
			u.want.mtu = i.MTU
		}
	}
	if old.MAC != i.MAC && !e.echo(u, ofMAC, func(f flight) bool { return f.mac == i.MAC }) && take && !u.child() {
		u.want.mac = i.MAC
	}
}

// echo tells whether a change has to do with an operation in flight. One that
// does not show what that asks for is somebody else's, before it or after it:
// then the table is read again.
func (e *Engine) echo(u *unit, c class, same func(flight) bool) bool {
	f, busy := e.ledger.flying[dpKey(c, u.phy)]
	if busy && !same(f) {
		e.want(dataplane.KindInterface)
	}
	return busy
}

// interfaceGone takes an interface away, with what is on it.
func (e *Engine) interfaceGone(index uint32) {
	i := e.dp.ifaces[index]
	if i == nil {
		return
	}
	for _, sub := range sortedKeys(e.dp.ifaces, compareUint32) {
		if s := e.dp.ifaces[sub]; s != nil && s.Parent == index && sub != index {
			e.interfaceGone(sub)
		}
	}
	u := e.byPhy[index]
	if u != nil {
		e.deactivate(u)
		e.setPhy(u, dataplane.NoIndex)
		e.markFamily(u)
		clear(u.base)
		clear(u.told)
		e.retell(u)
		clear(u.neighs)
	}
	e.dp.drop(index)
	e.holdBinding(index)
	e.unrelated = true
	e.fib.InterfaceGone(index)
	e.mistaken(index)
}

// mistaken has read again what operations in flight may do to another interface
// that gets the number of one that is gone.
func (e *Engine) mistaken(index uint32) {
	found := false
	for k, f := range e.ledger.flying {
		if k.side == dataplaneSide && k.class != ofLocal && k.index == index {
			f.gone, found = true, true
			e.ledger.flying[k] = f
		}
	}
	if found {
		for _, kind := range []dataplane.Kind{dataplane.KindInterface, dataplane.KindPair, dataplane.KindAddr, dataplane.KindNeigh} {
			e.want(kind)
		}
	}
}

// succeeded applies what an operation has done.
func (e *Engine) succeeded(k key, op *dataplane.Op, at int, made []dataplane.Made) {
	u := e.byPhy[k.index]
	i := e.dp.ifaces[k.index]
	switch op.Kind {
	case dataplane.PairAdd, dataplane.PairDel:
		e.paid(u, k, op, at, made)
	case dataplane.SubAdd:
		if e.dp.sub(op.Index, op.Sub) == nil {
			e.want(dataplane.KindInterface)
		}
		e.ledger.forget(k)
	case dataplane.SubDel:
		if e.dp.ifaces[op.Index] != nil { // perhaps another that has its number by now
			e.want(dataplane.KindInterface)
		}
		e.ledger.forget(k)
	case dataplane.LocalAdd:
		e.dp.locals[op.Addr] = true
	case dataplane.LocalDel:
		delete(e.dp.locals, op.Addr)
	default:
		if i != nil {
			e.applied(u, i, op)
		}
	}
	if f := e.ledger.failed[k]; f != nil && op.Kind != dataplane.PairAdd {
		delete(e.ledger.failed, k)
	}
}

// paid takes the answer to PairAdd or PairDel.
func (e *Engine) paid(u *unit, k key, op *dataplane.Op, at int, made []dataplane.Made) {
	if op.Kind == dataplane.PairDel {
		delete(e.dp.pairs, op.Index)
		if u != nil {
			u.creating = false
		}
		e.ledger.forget(k)
		return
	}
	for _, m := range made {
		if m.Op == at && e.dp.ifaces[op.Index] != nil {
			e.dp.pairs[op.Index] = m.Pair
			if u != nil {
				u.missing, u.vanished = e.now, zeroTime
			}
			e.ledger.forget(k)
			return
		}
	}
	e.want(dataplane.KindPair)
}

// applied notes what an operation on an interface has done.
func (e *Engine) applied(u *unit, i *dataplane.Interface, op *dataplane.Op) {
	switch op.Kind {
	case dataplane.SetUp:
		i.Up = op.On
	case dataplane.SetMTU:
		i.MTU = op.Value
	case dataplane.SetMAC:
		i.MAC = op.MAC
	case dataplane.SetTable:
		i.Table4, i.Table6 = op.Value, op.Value
		e.holdBinding(i.Index)
	case dataplane.SetMPLS:
		i.MPLS = op.On
	case dataplane.SetMulticast:
		i.Multicast = op.On
	case dataplane.SetCarrier:
		if u != nil {
			u.carrier = expect(op.On)
		}
	case dataplane.AddrAdd, dataplane.AddrDel:
		e.dp.setAddr(op.Index, op.Prefix, op.Kind == dataplane.AddrAdd)
		if u != nil {
			u.told[op.Prefix] = op.Kind == dataplane.AddrAdd
			if op.Kind == dataplane.AddrDel {
				delete(u.told, op.Prefix)
				delete(u.base, op.Prefix)
			}
			e.retell(u)
			e.mark(u)
		}
	case dataplane.NeighSet, dataplane.NeighDel:
		e.dp.setNeigh(dataplane.Neigh{Index: op.Index, Addr: op.Addr, MAC: op.MAC, Static: op.On}, op.Kind == dataplane.NeighSet)
		if u != nil && op.Kind == dataplane.NeighSet {
			u.neighs[op.Addr] = true
		}
		if u != nil {
			e.mark(u)
		}
	}
	if u != nil && (op.Kind == dataplane.SetUp || op.Kind == dataplane.SetMTU) {
		e.markFamily(u)
	}
}

// failed notes an operation without effect. A value that the phy does not take
// is given back to Linux: both sides then have what the phy has.
func (e *Engine) failed(k key, op *dataplane.Op, err error) {
	u := e.byPhy[k.index]
	f := e.ledger.fail(e.now, k, e.object(k, op), fmt.Errorf("%s: %w", op.Kind, err))
	if f.attempts == 1 {
		e.log(levelWarn, "the dataplane refused an operation", "object", f.object, "error", f.msg)
	}
	if u != nil && op.Kind == dataplane.PairAdd {
		u.creating = false
	}
	if errors.Is(err, dataplane.ErrNoInterface) {
		e.want(dataplane.KindInterface)
	}
	i := e.dp.ifaces[k.index]
	if u != nil && op.Kind == dataplane.AddrAdd && !e.dp.addrs[k.index][op.Prefix] {
		delete(u.told, op.Prefix)
		e.retell(u)
	}
	if u == nil || i == nil || !u.active || !errors.Is(err, dataplane.ErrRefused) {
		return
	}
	switch {
	case op.Kind == dataplane.SetMTU && i.MTU != 0 && u.want.mtu == op.Value:
		u.want.mtu = i.MTU
		f.msg += fmt.Sprintf("; Linux is put back to %d", i.MTU)
	case op.Kind == dataplane.SetMAC && u.want.mac == op.MAC:
		u.want.mac = i.MAC
		f.msg += fmt.Sprintf("; Linux is put back to %s", i.MAC)
	default:
		return
	}
	f.over = true
}

// object says what a key is, for people.
func (e *Engine) object(k key, op *dataplane.Op) string {
	name := fmt.Sprintf("interface %d", k.index)
	if i := e.dp.ifaces[k.index]; i != nil {
		name = i.Name
	}
	switch k.class {
	case ofPair:
		if op.Pair != nil {
			return fmt.Sprintf("pair of %s and %s", name, op.Pair.HostName)
		}
		return "pair of " + name
	case ofSub:
		return "sub-interface " + name + tagsOf(k.sub)
	case ofMTU:
		return fmt.Sprintf("mtu %d of %s", op.Value, name)
	case ofMAC:
		return fmt.Sprintf("mac %s of %s", op.MAC, name)
	case ofTable:
		return fmt.Sprintf("table %d of %s", op.Value, name)
	case ofCarrier:
		return "carrier of " + name
	case ofUp:
		return "admin state of " + name
	case ofMPLS:
		return "labels on " + name
	case ofMulticast:
		return "multicast on " + name
	case ofAddr:
		return fmt.Sprintf("address %s on %s", k.prefix, name)
	case ofNeigh:
		return fmt.Sprintf("neighbour %s on %s", k.prefix.Addr(), name)
	case ofLocal:
		return fmt.Sprintf("local address %s", k.prefix.Addr())
	}
	return name
}
