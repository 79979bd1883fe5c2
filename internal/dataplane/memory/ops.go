package memory

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// Do carries out an operation.
func (w *World) Do(op *dataplane.Op) (*dataplane.Made, error) {
	if w.Refuse != nil {
		if err := w.Refuse(op); err != nil {
			return nil, err
		}
	}
	if w.Swallow != nil && w.Swallow(op) {
		return nil, nil
	}
	switch op.Kind {
	case dataplane.PairAdd, dataplane.PairDel:
		return w.doPair(op)
	case dataplane.SubAdd, dataplane.SubDel:
		return w.doSub(op)
	case dataplane.TableAdd, dataplane.TableDel:
		return nil, w.doTable(op)
	case dataplane.RouteSet, dataplane.RouteDel:
		return nil, w.doRoute(op)
	case dataplane.LocalAdd, dataplane.LocalDel:
		return nil, w.doLocal(op)
	case dataplane.AddrAdd, dataplane.AddrDel:
		return nil, w.doAddr(op)
	case dataplane.NeighSet, dataplane.NeighDel:
		return nil, w.doNeigh(op)
	}
	return nil, w.doInterface(op)
}

func unsupported(what string) error { return fmt.Errorf("%s: %w", what, dataplane.ErrUnsupported) }

func refused(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, dataplane.ErrRefused)...)
}

func (w *World) iface(index uint32) (*dataplane.Interface, error) {
	if i := w.ifaces[index]; i != nil {
		return i, nil
	}
	return nil, fmt.Errorf("interface %d: %w", index, dataplane.ErrNoInterface)
}

func (w *World) doPair(op *dataplane.Op) (*dataplane.Made, error) {
	if op.Pair == nil {
		return nil, refused("no pair")
	}
	want := *op.Pair
	if op.Kind == dataplane.PairDel {
		w.unpair(want.Phy, true)
		return nil, nil
	}
	i, err := w.iface(want.Phy)
	if err != nil {
		return nil, err
	}
	if err := w.mayPair(i, &want); err != nil {
		return nil, err
	}
	if p, ok := w.pairs[want.Phy]; ok {
		if p.HostName != want.HostName || p.NetNS != want.NetNS || p.TUN != want.TUN {
			return nil, fmt.Errorf("paired with %s: %w", p.HostName, dataplane.ErrTaken)
		}
		return &dataplane.Made{Pair: p}, nil
	}
	for _, p := range w.pairs {
		if p.HostName == want.HostName && p.NetNS == want.NetNS {
			return nil, fmt.Errorf("name %s: %w", p.HostName, dataplane.ErrTaken)
		}
	}
	want.HostIndex, err = w.companion(i, &want)
	if err != nil {
		return nil, err
	}
	if i.Parent == dataplane.NoIndex {
		port := &dataplane.Interface{Index: w.index(), Name: "port-" + want.HostName, Parent: dataplane.NoIndex, Type: i.Type,
			Up: true, Carrier: true, MTU: i.MTU, Companion: true}
		w.ifaces[port.Index] = port
		want.HostPort = port.Index
		w.changed(port)
	}
	w.pairs[want.Phy] = want
	return &dataplane.Made{Pair: want}, nil
}

func (w *World) mayPair(i *dataplane.Interface, want *dataplane.Pair) error {
	switch {
	case want.TUN && !w.o.Caps.TUN:
		return unsupported("TUN")
	case want.TUN != (i.Type == dataplane.Layer3):
		return refused("type of %s", i.Name)
	case len(want.HostName) == 0 || len(want.HostName) > 15 || strings.ContainsAny(want.HostName, "/ \x00"):
		return refused("name %q", want.HostName)
	case i.Companion:
		return refused("%s is a companion", i.Name)
	case i.Parent != dataplane.NoIndex && !i.Sub.Exact:
		return refused("%s has no exact match", i.Name)
	}
	return nil
}

// companion makes the link in Linux.
func (w *World) companion(i *dataplane.Interface, want *dataplane.Pair) (uint32, error) {
	if w.o.Linux == nil {
		return i.Index, nil
	}
	if i.Parent == dataplane.NoIndex {
		index, err := w.o.Linux.AddLink(want.NetNS, want.HostName, i.MTU, i.MAC, want.TUN)
		if err == nil && !w.o.Caps.Carrier {
			w.o.Linux.SetCarrier(want.NetNS, index, i.Carrier)
		}
		return index, err
	}
	on, id, ad := i.Parent, i.Sub.Outer, i.Sub.OuterAD
	if i.Sub.Inner != 0 {
		id, ad = i.Sub.Inner, i.Sub.InnerAD
		on = dataplane.NoIndex
		for _, o := range w.ifaces {
			if o.Parent == i.Parent && o.Sub == (dataplane.Sub{Outer: i.Sub.Outer, OuterAD: i.Sub.OuterAD, Exact: true}) {
				on = o.Index
			}
		}
	}
	p, ok := w.pairs[on]
	if !ok {
		return 0, refused("the parent of %s has no companion", i.Name)
	}
	return w.o.Linux.AddVLAN(want.NetNS, p.HostIndex, want.HostName, id, ad)
}

func (w *World) doSub(op *dataplane.Op) (*dataplane.Made, error) {
	if op.Kind == dataplane.SubAdd && !w.o.Caps.SubInterfaces {
		return nil, unsupported("sub-interfaces")
	}
	if op.Kind == dataplane.SubDel {
		if i := w.ifaces[op.Index]; i != nil {
			if i.Parent == dataplane.NoIndex {
				return nil, refused("%s is no sub-interface", i.Name)
			}
			w.drop(op.Index, true)
		}
		return nil, nil
	}
	p, err := w.iface(op.Index)
	if err != nil {
		return nil, err
	}
	s := op.Sub
	if p.Parent != dataplane.NoIndex || s.Outer < 1 || s.Outer > 4094 || s.Inner > 4094 {
		return nil, refused("sub-interface %+v of %s", s, p.Name)
	}
	for _, i := range w.ifaces {
		if i.Parent == p.Index && i.Sub.Outer == s.Outer && i.Sub.Inner == s.Inner && i.Sub.OuterAD == s.OuterAD && i.Sub.InnerAD == s.InnerAD {
			if i.Sub == s {
				return &dataplane.Made{Index: i.Index}, nil
			}
			return nil, fmt.Errorf("tags of %s: %w", i.Name, dataplane.ErrTaken)
		}
	}
	name := op.Name
	if name == "" || w.Named(name) != nil {
		name = fmt.Sprintf("%s.%d", p.Name, w.next+1)
	}
	i := &dataplane.Interface{Index: w.index(), Name: name, Parent: p.Index, Sub: s, Type: p.Type, Carrier: p.Carrier, MTU: p.MTU, MAC: p.MAC}
	w.ifaces[i.Index] = i
	w.changed(i)
	return &dataplane.Made{Index: i.Index}, nil
}

func (w *World) doInterface(op *dataplane.Op) error {
	i, err := w.iface(op.Index)
	if err != nil {
		return err
	}
	old := *i
	switch op.Kind {
	case dataplane.SetUp:
		err = w.setUp(i, op.On)
	case dataplane.SetMTU:
		err = w.setMTU(i, op.Value)
	case dataplane.SetMAC:
		if op.MAC.Len != 6 || op.MAC.B[0]&1 != 0 {
			return refused("address %q", op.MAC)
		}
		i.MAC = op.MAC
	case dataplane.SetTable:
		err = w.setTable(i, op.Value)
	case dataplane.SetMPLS:
		if !w.o.Caps.MPLS {
			return unsupported("MPLS")
		}
		i.MPLS = op.On
	case dataplane.SetMulticast:
		if !w.o.Caps.Multicast {
			return unsupported("multicast")
		}
		i.Multicast = op.On
	case dataplane.SetCarrier:
		if !w.o.Caps.Carrier {
			return unsupported("carrier")
		}
		w.shown[i.Index] = op.On
		if p, ok := w.pairs[i.Index]; ok && w.o.Linux != nil {
			w.o.Linux.SetCarrier(p.NetNS, p.HostIndex, op.On)
		}
	default:
		return refused("operation %d", op.Kind)
	}
	if err == nil && *i != old {
		w.changed(i)
	}
	for _, sub := range w.follow {
		w.changed(sub)
	}
	w.follow = nil
	return err
}

// below lists the sub-interfaces of an interface, in order.
func (w *World) below(index uint32) (out []*dataplane.Interface) {
	for _, k := range slices.Sorted(maps.Keys(w.ifaces)) {
		if w.ifaces[k].Parent == index {
			out = append(out, w.ifaces[k])
		}
	}
	return out
}

func (w *World) setUp(i *dataplane.Interface, on bool) error {
	if p := w.ifaces[i.Parent]; on && p != nil && w.o.Caps.Clamps && !p.Up {
		return refused("%s is down", p.Name)
	}
	if i.Up == on {
		return nil
	}
	i.Up = on
	if !on && w.o.ForgetsIPv6 {
		maps.DeleteFunc(w.addrs, func(a dataplane.Addr, _ bool) bool { return a.Index == i.Index && a.Prefix.Addr().Is6() })
	}
	if w.o.Caps.Clamps {
		for _, sub := range w.below(i.Index) {
			if sub.Up != on {
				sub.Up = on
				w.follow = append(w.follow, sub)
			}
		}
	}
	return nil
}

func (w *World) setMTU(i *dataplane.Interface, mtu uint32) error {
	p := w.ifaces[i.Parent]
	if mtu < 68 || mtu > w.o.MaxMTU || w.o.Caps.Clamps && p != nil && mtu > p.MTU {
		return refused("mtu %d of %s", mtu, i.Name)
	}
	i.MTU = mtu
	if port := w.ifaces[w.pairs[i.Index].HostPort]; port != nil && port.Companion {
		port.MTU = mtu
	}
	if w.o.Caps.Clamps {
		for _, sub := range w.below(i.Index) {
			if sub.MTU > mtu {
				sub.MTU = mtu
				w.follow = append(w.follow, sub)
			}
		}
	}
	return nil
}

func (w *World) setTable(i *dataplane.Interface, id uint32) error {
	if i.Table4 == id && i.Table6 == id {
		return nil
	}
	for a := range w.addrs {
		if a.Index == i.Index {
			return refused("%s has addresses", i.Name)
		}
	}
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if id != dataplane.MainTable && !w.tables[dataplane.Table{ID: id, Family: f}] {
			return refused("no table %d of family %d", id, f)
		}
	}
	i.Table4, i.Table6 = id, id
	return nil
}

func (w *World) doTable(op *dataplane.Op) error {
	t := dataplane.Table{ID: op.Value, Family: op.Family}
	if op.Value == dataplane.MainTable {
		return refused("table 0")
	}
	if op.Kind == dataplane.TableAdd {
		w.tables[t] = true
		return nil
	}
	for _, i := range w.ifaces {
		if op.Family == unix.AF_INET && i.Table4 == t.ID || op.Family == unix.AF_INET6 && i.Table6 == t.ID {
			return refused("%s is in table %d", i.Name, t.ID)
		}
	}
	delete(w.tables, t)
	maps.DeleteFunc(w.routes, func(k dataplane.RouteKey, _ *dataplane.PathSet) bool {
		return !k.MPLS() && k.Table == t.ID && k.Prefix.Addr().Is4() == (t.Family == unix.AF_INET)
	})
	return nil
}

func (w *World) doAddr(op *dataplane.Op) error {
	if !op.Prefix.IsValid() {
		return refused("no address")
	}
	a := dataplane.Addr{Index: op.Index, Prefix: op.Prefix}
	if op.Kind == dataplane.AddrDel {
		delete(w.addrs, a)
		return nil
	}
	i, err := w.iface(op.Index)
	if err != nil {
		return err
	}
	if w.o.RefuseOverlap && !op.Prefix.Addr().IsLinkLocalUnicast() {
		for _, o := range slices.SortedFunc(maps.Keys(w.addrs), compareAddrs) {
			if x := w.ifaces[o.Index]; o != a && o.Index != a.Index && x.Table4 == i.Table4 && o.Prefix.Masked().Overlaps(op.Prefix.Masked()) {
				return fmt.Errorf("%s overlaps %s of %s: %w", op.Prefix, o.Prefix, x.Name, dataplane.ErrTaken)
			}
		}
	}
	w.addrs[a] = true
	return nil
}

func (w *World) doNeigh(op *dataplane.Op) error {
	k := neighKey{op.Index, op.Addr}
	if op.Kind == dataplane.NeighDel {
		delete(w.neighs, k)
		return nil
	}
	if _, err := w.iface(op.Index); err != nil {
		return err
	}
	if !op.Addr.IsValid() || op.MAC.Len != 6 {
		return refused("neighbour %s", op.Addr)
	}
	w.neighs[k] = dataplane.Neigh{Index: op.Index, Addr: op.Addr, MAC: op.MAC, Static: op.On}
	return nil
}

func (w *World) doLocal(op *dataplane.Op) error {
	switch {
	case !w.o.Caps.Local:
		return unsupported("local addresses")
	case !op.Addr.IsValid():
		return refused("no address")
	case op.Kind == dataplane.LocalAdd:
		w.locals[op.Addr] = true
	default:
		delete(w.locals, op.Addr)
	}
	return nil
}

func (w *World) doRoute(op *dataplane.Op) error {
	k := op.Route
	if err := w.mayRoute(op); err != nil {
		return err
	}
	if op.Kind == dataplane.RouteDel {
		delete(w.routes, k)
		return nil
	}
	s := &dataplane.PathSet{Kind: op.Paths.Kind, Paths: slices.Clone(op.Paths.Paths)}
	w.routes[k] = s
	return nil
}

func (w *World) mayRoute(op *dataplane.Op) error {
	k := op.Route
	switch {
	case op.Family == unix.AF_MPLS && (!k.MPLS() || !w.o.Caps.MPLS):
		return unsupported("MPLS")
	case k.MPLS() && (op.Family != unix.AF_MPLS || k.Label >= 1<<20):
		return refused("label %d", k.Label)
	case !k.MPLS() && (!k.Prefix.IsValid() || k.Prefix != k.Prefix.Masked() || k.Prefix.Addr().Is4() != (op.Family == unix.AF_INET)):
		return refused("destination %s", k.Prefix)
	case op.Kind == dataplane.RouteDel:
		return nil
	case op.Paths == nil || (op.Paths.Kind == dataplane.Unicast) == (len(op.Paths.Paths) == 0) || len(op.Paths.Paths) > w.o.Caps.MaxPaths:
		return refused("paths of %s", k.Prefix)
	case !k.MPLS() && k.Table != dataplane.MainTable && !w.tables[dataplane.Table{ID: k.Table, Family: op.Family}]:
		return refused("no table %d", k.Table)
	}
	for _, p := range op.Paths.Paths {
		if err := w.mayPath(&p, op.Family); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) mayPath(p *dataplane.Path, family uint8) error {
	if p.Index != dataplane.NoIndex {
		if _, err := w.iface(p.Index); err != nil {
			return err
		}
	}
	switch {
	case p.Weight == 0:
		return refused("weight 0")
	case p.Labels.N > dataplane.MaxLabels:
		return refused("%d labels", p.Labels.N)
	case p.Labels.N > 0 && !w.o.Caps.MPLS:
		return unsupported("MPLS")
	case p.Via.IsValid() && family == unix.AF_INET6 && p.Via.Is4():
		return refused("next hop %s", p.Via)
	}
	for _, l := range p.Labels.L[:p.Labels.N] {
		if l >= 1<<20 {
			return refused("label %d", l)
		}
	}
	return nil
}

// Outside does what an operation says as somebody else would: it is told, and
// routes are of another source. RouteDel takes ours.
func (w *World) Outside(op *dataplane.Op) error {
	switch op.Kind {
	case dataplane.RouteSet:
		w.others[op.Route] = op.Paths
		return nil
	case dataplane.RouteDel:
		if _, ok := w.routes[op.Route]; ok {
			delete(w.routes, op.Route)
			w.tell(func(epoch uint32) dataplane.Event {
				return dataplane.Disturbed{Epoch: epoch, Kind: dataplane.KindRoute}
			})
		}
		return nil
	case dataplane.AddrAdd, dataplane.AddrDel:
		a := dataplane.Addr{Index: op.Index, Prefix: op.Prefix}
		was := w.addrs[a]
		if err := w.doAddr(op); err != nil || w.addrs[a] == was {
			return err
		}
		w.tell(func(epoch uint32) dataplane.Event { return dataplane.AddrChanged{Epoch: epoch, Addr: a, Gone: was} })
		return nil
	case dataplane.NeighSet, dataplane.NeighDel:
		err := w.doNeigh(op)
		w.tell(func(epoch uint32) dataplane.Event {
			return dataplane.Disturbed{Epoch: epoch, Kind: dataplane.KindNeigh}
		})
		return err
	case dataplane.PairAdd, dataplane.PairDel:
		_, err := w.doPair(op)
		w.tell(func(epoch uint32) dataplane.Event { return dataplane.Disturbed{Epoch: epoch, Kind: dataplane.KindPair} })
		return err
	}
	refuse, swallow := w.Refuse, w.Swallow
	w.Refuse, w.Swallow = nil, nil
	defer func() { w.Refuse, w.Swallow = refuse, swallow }()
	_, err := w.Do(op)
	return err
}

// Addrs lists the addresses of an interface, in order.
func (w *World) Addrs(index uint32) (out []netip.Prefix) {
	for _, a := range slices.SortedFunc(maps.Keys(w.addrs), compareAddrs) {
		if a.Index == index {
			out = append(out, a.Prefix)
		}
	}
	return out
}
