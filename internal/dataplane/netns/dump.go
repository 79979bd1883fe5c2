package netns

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// dumpPart is how many routes one Dumped has.
const dumpPart = 1024

// dump reads a table and delivers it.
func (s *session) dump(k dataplane.Kind) {
	if k == dataplane.KindRoute {
		err := s.dumpRoutes()
		s.mu.Lock()
		s.settle()
		s.send(dataplane.DumpDone{Epoch: s.epoch, Kind: k, Err: err})
		s.later()
		s.flush()
		s.mu.Unlock()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	err := s.refresh()
	s.react()
	s.judge(true)
	d := dataplane.Dumped{Epoch: s.epoch, Kind: k}
	if err == nil {
		switch k {
		case dataplane.KindInterface:
			d.Interfaces = s.interfaces()
		case dataplane.KindPair:
			d.Pairs, err = s.dumpPairs()
		case dataplane.KindTable:
			d.Tables = s.dumpTables()
		case dataplane.KindAddr:
			d.Addrs = slices.SortedFunc(maps.Keys(s.addrs), compareAddr)
		case dataplane.KindNeigh:
			d.Neighs, err = s.dumpNeighs()
		case dataplane.KindLocal:
			err = s.readLocals()
			d.Locals = slices.SortedFunc(maps.Keys(s.locals), netip.Addr.Compare)
		}
	}
	if err == nil {
		s.send(d)
	}
	s.send(dataplane.DumpDone{Epoch: s.epoch, Kind: k, Err: err})
	s.flush()
}

func compareAddr(a, b dataplane.Addr) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
}

// readLinks reads the links of the namespace, as they are now.
func (s *session) readLinks() (map[uint32]*link, error) {
	all := map[uint32]*link{}
	err := eachLink(s.ctx, s.conn, func(l *link) { all[l.Index] = l })
	return all, err
}

// refresh reads links and addresses, and takes in what was not heard of.
func (s *session) refresh() error {
	links, err := s.readLinks()
	if err != nil {
		return err
	}
	for index := range s.links {
		if links[index] == nil {
			s.linkGone(index)
		}
	}
	// Those that others refer to come first.
	for _, index := range slices.SortedFunc(maps.Keys(links), func(a, b uint32) int {
		return cmp.Or(cmp.Compare(rank(links[a]), rank(links[b])), cmp.Compare(a, b))
	}) {
		s.linkSeen(links[index])
	}
	seen := map[dataplane.Addr]bool{}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		err := dumpEach(s, rtnl.KindAddr, rtnl.Filter{Family: family}, unix.RTM_NEWADDR, rtnl.DecodeAddr, func(a *rtnl.Addr) {
			seen[dataplane.Addr{Index: a.Index, Prefix: prefixOf(a)}] = true
			s.addrSeen(a, false)
		})
		if err != nil {
			return err
		}
	}
	for a := range s.addrs {
		if !seen[a] {
			s.lost[a] = true
		}
	}
	return nil
}

func rank(l *link) int {
	switch {
	case l.Kind == "vrf":
		return 0
	case l.isSub():
		return 2
	}
	return 1
}

// dumpEach dumps a kind until it is whole, and then calls f with each object.
func dumpEach[T any](s *session, kind rtnl.Kind, filter rtnl.Filter, typ uint16, decode func([]byte, *T) error, f func(*T)) error {
	for range dumpTries {
		var all []T
		res, err := s.conn.Dump(s.ctx, rtnl.AppendDumpRequest(nil, kind, 0, filter), func(b []byte) error {
			return eachMessage(b, typ, func(body []byte) error {
				var v T
				if err := decode(body, &v); err != nil {
					return err
				}
				all = append(all, v)
				return nil
			})
		})
		switch {
		case err != nil:
			return err
		case res.Unsupported:
			return nil
		case res.Complete && !res.Interrupted:
			for i := range all {
				f(&all[i])
			}
			return nil
		}
	}
	return errUnsteady
}

func (s *session) interfaces() (list []dataplane.Interface) {
	for _, index := range slices.Sorted(maps.Keys(s.links)) {
		if x, ok := s.view(s.links[index]); ok {
			list = append(list, x)
		}
	}
	return list
}

// dumpPairs shows the pairs; those of sub-interfaces only while their companion
// is there.
func (s *session) dumpPairs() (list []dataplane.Pair, err error) {
	there := map[string]map[uint32]bool{}
	for _, index := range slices.Sorted(maps.Keys(s.pairs)) {
		p := s.pairs[index]
		if p.port == 0 {
			if there[p.netns] == nil {
				links, err := s.hostLinks(p.netns)
				if err != nil {
					return nil, err
				}
				there[p.netns] = links
			}
			if !there[p.netns][p.hostIndex] {
				s.forget(p, false)
				continue
			}
		}
		list = append(list, p.value())
	}
	return list, nil
}

// hostLinks are the links of a companions' namespace; none when it is gone.
func (s *session) hostLinks(netns string) (map[uint32]bool, error) {
	have := map[uint32]bool{}
	h, err := s.space(netns)
	if err != nil {
		return have, nil
	}
	all, err := h.links(s.ctx)
	for _, l := range all {
		have[l.Index] = true
	}
	return have, err
}

func (s *session) dumpTables() (list []dataplane.Table) {
	for _, index := range slices.Sorted(maps.Keys(s.links)) {
		l := s.links[index]
		if l.Kind != "vrf" {
			continue
		}
		four, six := parseTableAlias(l.alias)
		if four {
			list = append(list, dataplane.Table{ID: l.VRFTable, Family: unix.AF_INET})
		}
		if six {
			list = append(list, dataplane.Table{ID: l.VRFTable, Family: unix.AF_INET6})
		}
	}
	return list
}

// dumpNeighs shows the static neighbours that we have made.
func (s *session) dumpNeighs() (list []dataplane.Neigh, err error) {
	clear(s.neighs)
	err = dumpEach(s, rtnl.KindNeigh, rtnl.Filter{}, unix.RTM_NEWNEIGH, rtnl.DecodeNeigh, func(n *rtnl.Neigh) {
		if n.Protocol != Protocol || n.State&unix.NUD_PERMANENT == 0 {
			return
		}
		s.neighs[neighKey{n.Index, n.Dst}] = n.LLAddr
		list = append(list, dataplane.Neigh{Index: n.Index, Addr: n.Dst, MAC: n.LLAddr, Static: true})
	})
	return list, err
}

// readLocals reads the sets of local addresses.
func (s *session) readLocals() error {
	for range dumpTries {
		found := map[netip.Addr]bool{}
		var err error
		for _, set := range []string{set4, set6} {
			req := text(text(nil, unix.NFTA_SET_ELEM_LIST_TABLE, nftTable), unix.NFTA_SET_ELEM_LIST_SET, set)
			var bad error
			e := s.nft.dump(unix.NFT_MSG_GETSETELEM, nfprotoNetdev, req, func(attrs []byte) {
				keys, err := decodeElems(attrs)
				bad = cmp.Or(bad, err)
				for _, k := range keys {
					if a, ok := netip.AddrFromSlice(k); ok {
						found[a] = true
					}
				}
			})
			err = cmp.Or(err, e, bad)
		}
		if err == errInterrupted {
			continue
		}
		if err == nil {
			s.locals = found
		}
		return err
	}
	return errUnsteady
}

// dumpRoutes reads our routes, and delivers them in parts while it reads.
func (s *session) dumpRoutes() error {
	// On a socket of its own: what is delivered takes s.mu, with which others wait
	// for s.conn.
	conn, err := rtnl.DialNS(s.ns.FD())
	if err != nil {
		return err
	}
	defer conn.Close()
	d := &routeDump{session: s, sets: map[pathsKey]*dataplane.PathSet{}}
	families := []uint8{unix.AF_INET, unix.AF_INET6}
	if s.caps.MPLS {
		families = append(families, unix.AF_MPLS)
	}
	for _, f := range families {
		filter := rtnl.Filter{Family: f}
		if f != unix.AF_MPLS {
			filter.Protocol = Protocol
		}
		res, err := conn.Dump(s.ctx, rtnl.AppendDumpRequest(nil, rtnl.KindRoute, 0, filter), d.take)
		if err == nil && (res.Interrupted || !res.Complete && !res.Unsupported) {
			err = errUnsteady
		}
		if err != nil {
			return err
		}
	}
	d.deliver()
	return d.err
}

// pathsKey is what routes that do the same have in common.
type pathsKey struct {
	family, kind uint8
	oif          uint32
	gateway      netip.Addr
	multipath    string
	encap        string
}

type routeDump struct {
	*session
	sets map[pathsKey]*dataplane.PathSet
	part []dataplane.Route
	r    rtnl.Route
	err  error
}

func (d *routeDump) take(datagram []byte) error {
	return eachMessage(datagram, unix.RTM_NEWROUTE, func(body []byte) error {
		if err := rtnl.DecodeRoute(body, &d.r); err != nil {
			return err
		}
		key, ok := keyOf(&d.r)
		if !ok {
			return nil
		}
		set, err := d.paths(&d.r)
		if err != nil {
			return err
		}
		if key.MPLS() {
			d.label(key, set)
		} else {
			d.add(key, set)
		}
		if len(d.part) == dumpPart {
			d.deliver()
		}
		return nil
	})
}

// label shows a label's route under the keys that it has.
func (d *routeDump) label(key dataplane.RouteKey, set *dataplane.PathSet) {
	d.mu.Lock()
	use, known := d.uses[key.Label]
	if !known {
		use = useBoth
		d.uses[key.Label] = use
	}
	d.mu.Unlock()
	for _, key.EOS = range [...]bool{false, true} {
		if use&useOf(key) != 0 {
			d.add(key, set)
		}
	}
}

func (d *routeDump) add(key dataplane.RouteKey, set *dataplane.PathSet) {
	if o := d.odd[key]; o != nil && o.made.Equal(set) {
		set = o.written
	}
	d.part = append(d.part, dataplane.Route{Key: key, Paths: set})
}

// readLabels reads which labels have routes: those that are not known are taken
// to be meant for both keys.
func (s *session) readLabels() error {
	if !s.caps.MPLS {
		return nil
	}
	have := map[uint32]labelUse{}
	err := dumpEach(s, rtnl.KindRoute, rtnl.Filter{Family: unix.AF_MPLS}, unix.RTM_NEWROUTE, rtnl.DecodeRoute, func(r *rtnl.Route) {
		if key, ok := keyOf(r); ok {
			use, known := s.uses[key.Label]
			if !known {
				use = useBoth
			}
			have[key.Label] = use
		}
	})
	if err == nil {
		s.uses = have
	}
	return err
}

func (d *routeDump) paths(r *rtnl.Route) (*dataplane.PathSet, error) {
	k := pathsKey{r.Family, r.Type, r.Oif, r.Gateway, r.Multipath, r.Encap}
	if set := d.sets[k]; set != nil {
		return set, nil
	}
	d.mu.Lock()
	set, err := pathsOf(r, d.tableOf)
	d.mu.Unlock()
	d.sets[k] = set
	return set, err
}

func (d *routeDump) deliver() {
	if len(d.part) == 0 {
		return
	}
	d.mu.Lock()
	d.send(dataplane.Dumped{Epoch: d.epoch, Kind: dataplane.KindRoute, Routes: d.part})
	d.flush()
	d.mu.Unlock()
	d.part = make([]dataplane.Route, 0, dumpPart)
}

// adopt reads everything, and takes up what an earlier session has left.
func (s *session) adopt() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return err
	}
	s.out = s.out[:0] // no news: it will be dumped
	if s.stranger {
		return nil
	}
	if err := s.readLocals(); err != nil {
		return err
	}
	if _, err := s.dumpNeighs(); err != nil {
		return err
	}
	if err := s.readLabels(); err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(s.links)) {
		s.adoptPair(s.links[index])
	}
	s.react()
	s.out = s.out[:0]
	clear(s.lost)
	clear(s.gone)
	return nil
}

// adoptPair takes a pair up that a link's alias tells of.
func (s *session) adoptPair(l *link) {
	if l == nil {
		return
	}
	if a, ok := parsePortAlias(l.alias); ok && l.Kind == "veth" {
		p := &pair{phy: a.phy, port: l.Index, host: a.host, hostIndex: l.Parent, netns: a.netns}
		if phy := s.links[a.phy]; phy == nil || s.pairs[a.phy] != nil {
			s.o.Log.Warn("removing a companion whose interface is gone", "host", a.host, "netns", a.netns)
			s.forget(p, true)
			return
		}
		s.pairs[a.phy] = p
		if err := s.rules(p); err != nil {
			s.o.Log.Warn("cannot restore the rules of a pair", "host", p.host, "error", err)
		}
	}
	if a, ok := parseSubAlias(l.alias); ok && l.isSub() {
		h, err := s.space(a.netns)
		if err != nil {
			return
		}
		if host, there, err := h.byName(s.ctx, a.host); err == nil && there {
			s.pairs[l.Index] = &pair{phy: l.Index, host: a.host, hostIndex: host.Index, netns: a.netns, found: a.found}
		}
	}
}
