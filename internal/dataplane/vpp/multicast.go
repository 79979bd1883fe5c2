package vpp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// What is sent to all on a link reaches VPP itself, and with it the companion,
// only where the table of multicast groups says so: one path of a group leads to
// VPP itself, one more for each interface accepts packets from it. VPP has that
// for the few groups that it speaks itself; OSPF, RIP, VRRP and all others need
// it from us. It is the same that VPP's linux_nl would do.

// linkGroups are the groups that are handed on: those of the link for IPv4 (RFC
// 5771, 224.0.0.0/24), all of IPv6.
var linkGroups = map[uint8]netip.Prefix{
	unix.AF_INET:  netip.MustParsePrefix("224.0.0.0/24"),
	unix.AF_INET6: netip.MustParsePrefix("ff00::/8"),
}

// allHosts is a group that VPP itself accepts from every interface that has
// IPv4 enabled.
var allHosts = netip.MustParsePrefix("224.0.0.1/32")

// Bits of vl_api_mfib_itf_flags.
const (
	mfibAccept  = 2
	mfibForward = 4
)

// maxListed is how many interfaces a table may have for its groups to be
// listed: VPP writes behind the end of a message that shows more than 255 paths
// of a group, and every interface may be one. Without the list what we want is
// written again after each connection, which changes nothing.
const maxListed = 128

// group is what a table has for linkGroups.
type group struct {
	local   bool            // they lead to VPP itself
	accepts map[uint32]bool // from these interfaces
	limited bool            // 255.255.255.255 has been looked after
	ip4     map[uint32]bool // interfaces that had IPv4 enabled when it did
}

func (s *session) group(t dataplane.Table) *group {
	g := s.world.groups[t]
	if g == nil {
		g = newGroup()
		s.world.groups[t] = g
	}
	return g
}

func newGroup() *group { return &group{accepts: map[uint32]bool{}, ip4: map[uint32]bool{}} }

// familyOf is AF_INET or AF_INET6.
func familyOf(six bool) uint8 {
	if six {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// tableOf is the table of one family that an interface is bound to.
func (s *session) tableOf(index uint32, six bool) (dataplane.Table, error) {
	id, err := s.readTable(index, six)
	return dataplane.Table{ID: id, Family: familyOf(six)}, err
}

// multicastMessages are what groups need.
var multicastMessages = []message{mrouteAddDel, mrouteAddDelReply, mrouteDump, mrouteDetails}

// accepts tells whether both families of an interface are handed on.
func (w *world) accepts(index, table4, table6 uint32) bool {
	for _, t := range []dataplane.Table{{ID: table4, Family: unix.AF_INET}, {ID: table6, Family: unix.AF_INET6}} {
		if g := w.groups[t]; g == nil || !g.local || !g.accepts[index] {
			return false
		}
	}
	return true
}

// readGroups reads what the tables that interfaces are in have.
func (s *session) readGroups(list []dataplane.Interface) error {
	s.world.groups = map[dataplane.Table]*group{}
	if !s.ids.has(multicastMessages...) {
		return nil
	}
	bound := map[dataplane.Table]int{}
	for _, i := range list {
		bound[dataplane.Table{ID: i.Table4, Family: unix.AF_INET}]++
		bound[dataplane.Table{ID: i.Table6, Family: unix.AF_INET6}]++
	}
	for _, t := range slices.SortedFunc(maps.Keys(bound), compareTables) {
		if bound[t] > maxListed {
			continue
		}
		refused, err := s.dump(mrouteDump, mrouteDetails, encodeTable(nil, t, ""), func(p []byte) error {
			return s.group(t).learn(t, p)
		})
		if err = errors.Join(refused, err); err != nil {
			return err
		}
	}
	for _, i := range list {
		if !s.group(dataplane.Table{ID: i.Table4, Family: unix.AF_INET}).ip4[i.Index] {
			delete(s.c.ip4, i.Index) // it did not come to that, or this is another one
		}
	}
	return nil
}

func compareTables(a, b dataplane.Table) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Family, b.Family))
}

// learn takes one entry of a table.
func (g *group) learn(t dataplane.Table, p []byte) error {
	to, paths, err := decodeMroute(p)
	if err != nil {
		return fmt.Errorf("%s: %w", mrouteDetails, err)
	}
	if to != linkGroups[t.Family] && to != allHosts {
		return nil
	}
	for _, x := range paths {
		switch {
		case to == allHosts:
			g.ip4[x.index] = true
		case x.local:
			g.local = true
		case x.flags&mfibAccept != 0:
			g.accepts[x.index] = true
		}
	}
	return nil
}

// setMulticast has an interface hand on what is sent to all on its link, or
// not.
func (s *session) setMulticast(op *dataplane.Op) (refused, err error) {
	if refused := s.ids.missing(multicastMessages...); refused != nil {
		return refused, nil
	}
	if _, refused, err = s.lookup(op.Index); refused != nil || err != nil {
		return refused, err
	}
	for _, six := range []bool{false, true} {
		t, err := s.tableOf(op.Index, six)
		if err != nil {
			return nil, err
		}
		if op.On {
			refused, err = s.join(op.Index, t)
		} else {
			refused, err = s.leave(op.Index, t)
		}
		if refused != nil || err != nil {
			return refused, err
		}
	}
	return s.needIP4(op.Index, op.On)
}

// needIP4 has an interface take IPv4 packets without an address: otherwise VPP
// drops the answers to a DHCP client. VPP counts who has that enabled, each
// address included, and does not show it: we are counted once or not at all.
func (s *session) needIP4(index uint32, on bool) (refused, err error) {
	if !s.ids.has(enableIP4, enableIP4Reply) || s.c.ip4[index] == on {
		return nil, nil
	}
	if on {
		t, err := s.tableOf(index, false)
		if err != nil || len(s.world.ifaces) == 0 {
			return nil, err
		}
		has := false
		if s.mayList(t) {
			has, err = s.hasIP4(index, t)
		} else {
			// An earlier process may have asked for it. Then it stays enabled when
			// the pair goes, which is better than never.
			var list []netip.Prefix
			list, refused, err = s.readAddrs(index, false)
			has = len(list) > 0
		}
		if has || refused != nil || err != nil {
			return refused, err // it has an address, or that has been asked for
		}
	}
	return s.countIP4(index, on)
}

// countIP4 counts us in or out. When the connection ends meanwhile, what is
// remembered is put right by readGroups.
func (s *session) countIP4(index uint32, on bool) (refused, err error) {
	if on && (s.c.ip4 == nil || len(s.c.ip4) > maxKept) {
		s.c.ip4 = map[uint32]bool{}
	}
	if delete(s.c.ip4, index); on {
		s.c.ip4[index] = true
	}
	if refused, err = s.setIP4(index, on); refused != nil {
		delete(s.c.ip4, index)
	}
	return refused, err
}

func (s *session) setIP4(index uint32, on bool) (refused, err error) {
	return s.done(enableIP4, enableIP4Reply, putBool(put32(nil, index), on))
}

// disableIP4 disables IPv4 on an interface without addresses, as often as it
// was enabled.
func (s *session) disableIP4(index uint32) (times int, err error) {
	if !s.ids.has(enableIP4, enableIP4Reply) || !s.ids.has(multicastMessages...) {
		return 0, nil
	}
	t, err := s.tableOf(index, false)
	if err != nil {
		return 0, err
	}
	for ; times < maxEnabled; times++ {
		if on, err := s.hasIP4(index, t); err != nil || !on {
			return times, err
		}
		if refused, err := s.setIP4(index, false); refused != nil || err != nil {
			return times, err
		}
	}
	return times, nil
}

// mayList tells whether VPP may be asked for the groups of a table of IPv4.
func (s *session) mayList(t dataplane.Table) bool {
	bound := 0
	for _, table := range s.world.table4 {
		if table == t.ID {
			bound++
		}
	}
	return len(s.world.ifaces) > 0 && bound <= maxListed
}

// hasIP4 tells whether IPv4 is enabled on an interface, as far as VPP may be
// asked.
func (s *session) hasIP4(index uint32, t dataplane.Table) (on bool, err error) {
	if !s.mayList(t) {
		return false, nil
	}
	now := newGroup()
	_, err = s.dump(mrouteDump, mrouteDetails, encodeTable(nil, t, ""), func(p []byte) error { return now.learn(t, p) })
	return now.ip4[index], err
}

// keepIP4 does what needIP4 does when the last address of an interface has gone,
// with which IPv4 may have gone.
func (s *session) keepIP4(index uint32) error {
	t, err := s.tableOf(index, false)
	if err != nil || s.c.ip4[index] || !s.group(t).accepts[index] || !s.ids.has(enableIP4, enableIP4Reply) {
		return err
	}
	list, refused, err := s.readAddrs(index, false)
	if refused == nil && err == nil && len(list) == 0 {
		_, err = s.countIP4(index, true)
	}
	return err
}

// join has a table accept the groups of an interface's link. That it does is the
// last thing to be written: what is there is there completely.
func (s *session) join(index uint32, t dataplane.Table) (refused, err error) {
	g := s.group(t)
	if !g.local {
		if refused, err := s.mroute(t, dataplane.NoIndex, true); refused != nil || err != nil {
			return refused, err
		}
		g.local = true
	}
	if t.Family == unix.AF_INET && !g.limited {
		if refused, err := s.limitedBroadcast(t, true); refused != nil || err != nil {
			return refused, err
		}
		g.limited = true
	}
	if g.accepts[index] {
		return nil, nil
	}
	refused, err = s.mroute(t, index, true)
	g.accepts[index] = refused == nil && err == nil
	return refused, err
}

// leave takes back join. With the last interface goes what the table has.
func (s *session) leave(index uint32, t dataplane.Table) (refused, err error) {
	g := s.group(t)
	if !g.accepts[index] {
		return nil, nil
	}
	if refused, err := s.mroute(t, index, false); refused != nil || err != nil {
		return refused, err
	}
	if delete(g.accepts, index); len(g.accepts) > 0 {
		return nil, nil
	}
	return s.emptyTable(t)
}

// emptyTable removes from a table what is for VPP itself.
func (s *session) emptyTable(t dataplane.Table) (refused, err error) {
	g := s.group(t)
	if g.local {
		if refused, err := s.mroute(t, dataplane.NoIndex, false); refused != nil || err != nil {
			return refused, err
		}
		g.local = false
	}
	if t.Family != unix.AF_INET {
		return nil, nil
	}
	g.limited = false
	return s.limitedBroadcast(t, false)
}

// mroute adds or removes one path of linkGroups: of an interface, or with
// NoIndex to VPP itself.
func (s *session) mroute(t dataplane.Table, index uint32, add bool) (refused, err error) {
	return s.done(mrouteAddDel, mrouteAddDelReply, encodeMroute(nil, add, t, index))
}

// limited is the broadcast address of every link.
var limited = netip.MustParsePrefix("255.255.255.255/32")

// limitedBroadcast has a table hand packets to 255.255.255.255 to VPP itself:
// DHCP is spoken that way. It has a source of its own, behind that of routes,
// so that it is in nobody's way.
func (s *session) limitedBroadcast(t dataplane.Table, add bool) (refused, err error) {
	if !s.ids.has(routeMessages...) || !s.ids.has(routeLookup, routeLookupReply) || !add && s.local == 0 {
		return nil, nil
	}
	k := dataplane.RouteKey{Table: t.ID, Prefix: limited}
	var bl *block
	if add {
		if there, refused, err := s.hasLimited(k); there || refused != nil || err != nil {
			return refused, err
		}
		bl = &block{n: 1, b: encodeLocalPath(nil, protoIP4)}
	}
	refused, err = s.done(routeAddDel, routeAddDelReply, encodeRoute(nil, k, s.local, bl))
	if refused == nil || !add && errors.Is(refused, noSuchFIB) {
		return nil, err
	}
	return fmt.Errorf("%s: %w", limited, refused), err
}

// hasLimited tells whether a route of our source for what is for VPP itself is
// there and counts; it makes the source first.
func (s *session) hasLimited(k dataplane.RouteKey) (there bool, refused, err error) {
	if s.local == 0 {
		s.local, refused, err = s.addSource(s.opt.Source+localSuffix, min(s.opt.Priority, 254)+1)
		return false, refused, err
	}
	d, refused, err := s.call(routeLookup, routeLookupReply, encodeLookup(nil, k))
	if refused != nil || err != nil {
		return false, nil, err // no route at all
	}
	d.skip(4 + 4 + prefixLen + 1) // table, counter, prefix, number of paths
	return d.u8() == s.local, nil, d.err
}
