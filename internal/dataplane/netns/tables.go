package netns

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// tableLink is the VRF of a table.
func (s *session) tableLink(id uint32) *link {
	for _, l := range s.links {
		if l.Kind == "vrf" && l.VRFTable == id {
			return l
		}
	}
	return nil
}

// reservedTables are the kernel's own: default, main and local.
func reserved(id uint32) bool { return id >= unix.RT_TABLE_DEFAULT && id <= unix.RT_TABLE_LOCAL }

// addTable makes the VRF of a table; both families share it.
func (s *session) addTable(id uint32, family uint8) error {
	if id == dataplane.MainTable || reserved(id) || family != unix.AF_INET && family != unix.AF_INET6 {
		if id == dataplane.MainTable {
			return nil // it is always there
		}
		return fmt.Errorf("table %d of family %d: %w", id, family, dataplane.ErrRefused)
	}
	l := s.tableLink(id)
	if l == nil {
		name := s.freeName(fmt.Sprintf("nbvrf%d", id))
		r := rtnl.LinkRequest{Link: rtnl.Link{Name: name, Kind: "vrf", VRFTable: id, Flags: unix.IFF_UP}, Set: rtnl.LinkName | rtnl.VRFTable | rtnl.LinkUp}
		err := s.exec(rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &r))
		if errors.Is(err, dataplane.ErrUnsupported) {
			return fmt.Errorf("table %d: no VRF devices in this kernel (module vrf): %w", id, err)
		}
		if err != nil {
			return fmt.Errorf("table %d: %w", id, err)
		}
		s.drain()
		if l = s.tableLink(id); l == nil {
			return fmt.Errorf("table %d: the kernel has made its VRF and does not show it", id)
		}
	}
	four, six := parseTableAlias(l.alias)
	return s.markTable(l, four || family == unix.AF_INET, six || family == unix.AF_INET6)
}

func (s *session) markTable(l *link, four, six bool) error {
	alias := tableAlias(four, six)
	if alias == l.alias {
		return nil
	}
	if err := s.exec(rtnl.AppendLinkAlias(nil, 0, 0, l.Index, alias)); err != nil {
		return err
	}
	s.aliased(l.Index, alias)
	return nil
}

// delTable removes a family's table, and with the second one the VRF.
func (s *session) delTable(id uint32, family uint8) error {
	l := s.tableLink(id)
	if l == nil {
		return nil
	}
	four, six := parseTableAlias(l.alias)
	if !four && !six {
		return nil // not ours
	}
	four, six = four && family != unix.AF_INET, six && family != unix.AF_INET6
	if four || six {
		return s.markTable(l, four, six)
	}
	for _, m := range s.links {
		if m.Master == l.Index {
			return fmt.Errorf("table %d: %s is still bound to it: %w", id, m.Name, dataplane.ErrRefused)
		}
	}
	return refused(s.deleteLink(s.conn, l.Index))
}

func setMaster(index, master uint32) []byte {
	return rtnl.AppendLink(nil, unix.RTM_NEWLINK, 0, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: index, Master: master}, Set: rtnl.LinkMaster})
}

// bind binds an interface to a table. Going into a VRF the kernel takes it down
// and up, and drops its IPv6 addresses: they are written again.
func (s *session) bind(index, id uint32) error {
	l, err := s.phyLink(index)
	if err != nil {
		return err
	}
	master := uint32(0)
	if id != dataplane.MainTable {
		v := s.tableLink(id)
		if v == nil {
			return fmt.Errorf("table %d for %s: add it first: %w", id, l.Name, dataplane.ErrRefused)
		}
		master = v.Index
	}
	if l.Master == master {
		return nil
	}
	if err := s.exec(setMaster(index, master)); err != nil {
		return fmt.Errorf("bind %s to table %d: %w", l.Name, id, err)
	}
	s.drain()
	if l = s.links[index]; l != nil {
		s.cameUp(l)
	}
	return nil
}

// MPLS.

func mplsInput(name string) string { return "mpls/conf/" + name + "/input" }

// readMPLS tells whether a link takes labelled packets.
func (s *session) readMPLS(name string) (on bool) {
	if !s.caps.MPLS {
		return false
	}
	_ = s.ns.Do(func() error {
		b, err := os.ReadFile(sysctlPath(mplsInput(name)))
		on = err == nil && strings.TrimSpace(string(b)) == "1"
		return nil
	})
	return on
}

// platformLabels is the size of the label table: all 20-bit labels.
const platformLabels = "1048575"

// setMPLS lets an interface take labelled packets, or not.
func (s *session) setMPLS(index uint32, on bool) error {
	l, err := s.phyLink(index)
	if err == nil {
		err = s.needLabels()
	}
	if err != nil {
		return err
	}
	value := map[bool]string{true: "1", false: "0"}[on]
	if err := s.ns.Do(func() error { return writeSysctl(mplsInput(l.Name), value) }); err != nil {
		return fmt.Errorf("MPLS of %s: %w", l.Name, err)
	}
	if l.mpls == on {
		return nil
	}
	now := *l
	now.mpls = on
	l.mpls = on
	x, _ := s.view(&now)
	s.send(dataplane.Changed{Epoch: s.epoch, Interface: x})
	phy := index
	if l.isSub() {
		phy, _ = s.subOf(l)
	}
	if p := s.pairs[phy]; p != nil {
		return s.rules(p)
	}
	return nil
}

// needLabels makes the label table with its first user; it has none before.
func (s *session) needLabels() error {
	if !s.caps.MPLS {
		return fmt.Errorf("no MPLS in this kernel (modprobe mpls_router, and mpls_iptunnel to push labels): %w", dataplane.ErrUnsupported)
	}
	if s.labels {
		return nil
	}
	err := s.ns.Do(func() error {
		b, err := os.ReadFile(sysctlPath("mpls/platform_labels"))
		if err != nil || strings.TrimSpace(string(b)) != "0" {
			return err
		}
		return writeSysctl("mpls/platform_labels", platformLabels)
	})
	s.labels = err == nil
	return err
}
