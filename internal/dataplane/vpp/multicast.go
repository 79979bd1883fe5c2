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
}

func (s *session) group(t dataplane.Table) *group {
	g := s.world.groups[t]
	if g == nil {
		g = &group{accepts: map[uint32]bool{}}
		s.world.groups[t] = g
	}
	return g
}

// familyOf is AF_INET or AF_INET6.
func familyOf(six bool) uint8 {
	if six {
		return unix.AF_INET6
	}
	return unix.AF_INET
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
	if to != linkGroups[t.Family] {
		return nil
	}
	for _, x := range paths {
		switch {
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
		table, err := s.readTable(op.Index, six)
		if err != nil {
			return nil, err
		}
		t := dataplane.Table{ID: table, Family: familyOf(six)}
		if op.On {
			refused, err = s.join(op.Index, t)
		} else {
			refused, err = s.leave(op.Index, t)
		}
		if refused != nil || err != nil {
			return refused, err
		}
	}
	return nil, nil
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
	if delete(g.accepts, index); len(g.accepts) > 0 || !g.local {
		return nil, nil
	}
	if refused, err := s.mroute(t, dataplane.NoIndex, false); refused != nil || err != nil {
		return refused, err
	}
	g.local = false
	return s.emptyTable(t)
}

// emptyTable removes from a table what is for VPP itself.
func (s *session) emptyTable(t dataplane.Table) (refused, err error) {
	if t.Family != unix.AF_INET {
		return nil, nil
	}
	s.group(t).limited = false
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
	start, context, err := s.begin(routeAddDel, nil, 0)
	if err != nil {
		return nil, err
	}
	s.out = encodeRoute(s.out, k, s.local, bl)
	endFrame(s.out, start)
	if err := s.wait(context); err != nil {
		return nil, err
	}
	d, refused, err := s.answerOf(routeAddDel, routeAddDelReply)
	if rv := retval(d.u32()); refused == nil && err == nil && rv != 0 && (add || rv != noSuchFIB) {
		refused = fmt.Errorf("%s: %w", limited, rv)
	}
	return refused, err
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
