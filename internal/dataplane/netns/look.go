package netns

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// Look says what a forwarding namespace has, and changes nothing in it: what a
// Dataplane would find when it connects. Whether companions are still there it
// does not tell.
func Look(ctx context.Context, netns string) (dataplane.Seen, error) {
	s := &session{o: Options{NetNS: netns}, ctx: ctx, links: map[uint32]*link{}}
	err := s.look()
	if s.conn != nil {
		s.conn.Close()
	}
	if s.ns != nil {
		s.ns.Close()
	}
	if err != nil {
		return dataplane.Seen{}, fmt.Errorf("forwarding namespace %s: %w", netns, err)
	}
	seen := dataplane.Seen{Interfaces: s.interfaces()}
	for _, index := range slices.Sorted(maps.Keys(s.links)) {
		l := s.links[index]
		if a, ok := parsePortAlias(l.alias); ok && l.Kind == "veth" && s.links[a.phy] != nil {
			p := pair{phy: a.phy, port: l.Index, host: a.host, hostIndex: l.Parent, netns: a.netns}
			seen.Pairs = append(seen.Pairs, p.value())
		} else if a, ok := parseSubAlias(l.alias); ok && l.isSub() {
			p := pair{phy: l.Index, host: a.host, netns: a.netns}
			seen.Pairs = append(seen.Pairs, p.value())
		}
	}
	return seen, nil
}

// look opens the namespace and reads its links.
func (s *session) look() (err error) {
	if s.inode, err = inodeOf(s.o.NetNS); err != nil {
		return noNS(s.o.NetNS, err)
	}
	if err = s.notOurs(); err != nil {
		return err
	}
	if s.ns, err = rtnl.OpenNS(s.o.NetNS); err != nil {
		return noNS(s.o.NetNS, err)
	}
	if s.conn, err = rtnl.DialNS(s.ns.FD()); err != nil {
		return noNS(s.o.NetNS, err)
	}
	s.links, err = s.readLinks()
	return err
}
