package mirror_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
)

// TestIgnoresLinkdown holds the rule of each family, as the messages come: all
// settings of a link first, then what changes.
func TestIgnoresLinkdown(t *testing.T) {
	s := newScript(t, mirror.Params{})
	s.answer()
	setting := func(family uint8, index, ignore int32) {
		s.notify(rtnl.AppendNetconf(nil, unix.RTM_NEWNETCONF, 0, 0, &rtnl.Netconf{Family: family, Index: index, Known: rtnl.NetconfIgnoreLinkdown, IgnoreLinkdown: ignore}))
	}
	for _, f := range []uint8{unix.AF_INET, unix.AF_INET6} {
		s.notify(rtnl.AppendNetconf(nil, unix.RTM_NEWNETCONF, 0, 0, &rtnl.Netconf{Family: f, Index: 1, Known: rtnl.NetconfIgnoreLinkdown | rtnl.NetconfForwarding, Forwarding: 1}))
	}
	want := func(what string, index uint32, four, six bool) {
		t.Helper()
		if a, b := s.e.IgnoresLinkdown(unix.AF_INET, index), s.e.IgnoresLinkdown(unix.AF_INET6, index); a != four || b != six {
			t.Errorf("%s: link %d has %v and %v, want %v and %v", what, index, a, b, four, six)
		}
		if !s.e.IgnoresLinkdown(unix.AF_MPLS, index) {
			t.Errorf("%s: link %d without carrier would be used for labels", what, index)
		}
	}
	want("off", 1, false, false)
	setting(unix.AF_INET, 1, 2)
	setting(unix.AF_INET6, 1, 1)
	want("on", 1, true, true)
	want("on", 2, false, false)
	setting(unix.AF_INET, rtnl.NetconfAll, 1)
	setting(unix.AF_INET6, rtnl.NetconfAll, 1) // what it does to links is announced of each
	setting(unix.AF_INET, 1, 0)
	setting(unix.AF_INET6, 1, 0)
	want("on for all", 1, true, false)
	want("on for all", 2, true, false)
	if n := s.e.Netconf(unix.AF_INET, 1); n == nil || n.Forwarding != 1 || n.Known != rtnl.NetconfIgnoreLinkdown|rtnl.NetconfForwarding {
		t.Errorf("what a message does not say has changed: %+v", n)
	}
	s.notify(rtnl.AppendNetconf(nil, unix.RTM_DELNETCONF, 0, 0, &rtnl.Netconf{Family: unix.AF_INET, Index: rtnl.NetconfAll}))
	want("gone", 1, false, false)
}

// TestDefaultIsCopied: IPv4 copies a default to links in silence; then they are
// read again. Forwarding it does not copy, and IPv6 nothing.
func TestDefaultIsCopied(t *testing.T) {
	for _, c := range []struct {
		family uint8
		what   rtnl.NetconfField
		reread bool
	}{
		{unix.AF_INET, rtnl.NetconfRPFilter, true},
		{unix.AF_INET, rtnl.NetconfForwarding, false},
		{unix.AF_INET6, rtnl.NetconfIgnoreLinkdown, false},
	} {
		s := newScript(t, mirror.Params{})
		s.answer()
		s.notify(rtnl.AppendNetconf(nil, unix.RTM_NEWNETCONF, 0, 0, &rtnl.Netconf{Family: c.family, Index: rtnl.NetconfDefault, Known: c.what}))
		s.requests()
		if got := len(s.dumps) == 1 && s.dumps[0].Dump == rtnl.KindNetconf; got != c.reread || len(s.dumps) > 1 {
			t.Errorf("%+v: wants %+v", c, s.dumps)
		}
		if n := s.e.Count(rtnl.KindNetconf); n != 0 {
			t.Errorf("%+v: %d objects, the default is none", c, n)
		}
	}
}

// TestSettingsFollow changes settings of the real kernel, those that are
// announced and those that are copied in silence.
func TestSettingsFollow(t *testing.T) {
	l := newLive(t, 1<<20)
	l.ns.IP("link add va type veth peer name vb")
	l.ns.IP("link set va up") // and vb down: no carrier
	l.ns.IP("addr add 192.0.2.1/24 dev va")
	index := func(name string) uint32 { return l.e.LinkByName(name).Index }
	for _, c := range []struct {
		path, value string
		four, six   [2]bool // of va and vb
	}{
		{"ipv4/conf/va/ignore_routes_with_linkdown", "1", [2]bool{true, false}, [2]bool{}},
		{"ipv4/conf/va/ignore_routes_with_linkdown", "0", [2]bool{}, [2]bool{}},
		{"ipv4/conf/default/ignore_routes_with_linkdown", "1", [2]bool{false, true}, [2]bool{}}, // va has an address
		{"ipv4/conf/all/ignore_routes_with_linkdown", "1", [2]bool{true, true}, [2]bool{}},
		{"ipv4/conf/all/ignore_routes_with_linkdown", "0", [2]bool{false, true}, [2]bool{}},
		{"ipv6/conf/vb/ignore_routes_with_linkdown", "1", [2]bool{false, true}, [2]bool{false, true}},
		{"ipv6/conf/default/ignore_routes_with_linkdown", "1", [2]bool{false, true}, [2]bool{false, true}},
		{"ipv6/conf/all/ignore_routes_with_linkdown", "1", [2]bool{false, true}, [2]bool{true, true}},
		{"ipv6/conf/va/ignore_routes_with_linkdown", "0", [2]bool{false, true}, [2]bool{false, true}},
	} {
		if err := l.ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+c.path, []byte(c.value), 0) }); err != nil {
			t.Fatal(err)
		}
		l.pump(20 * time.Millisecond)
		for i, name := range []string{"va", "vb"} {
			if four, six := l.e.IgnoresLinkdown(unix.AF_INET, index(name)), l.e.IgnoresLinkdown(unix.AF_INET6, index(name)); four != c.four[i] || six != c.six[i] {
				t.Errorf("%s = %s: %s has %v and %v, want %v and %v", c.path, c.value, name, four, six, c.four[i], c.six[i])
			}
		}
	}
}
