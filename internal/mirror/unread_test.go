package mirror_test

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
)

// TestSilentDeletionsOfWhatWasNotRead: a table whose dumps fail is waited for,
// and until then it is not known what links and addresses there are. What is
// announced of those makes routes go, or not.
func TestSilentDeletionsOfWhatWasNotRead(t *testing.T) {
	link := func(typ uint16, flags uint32) []byte {
		return rtnl.AppendLinkInfo(nil, typ, 0, 0, &rtnl.Link{Index: 1, Name: "a", Flags: flags, ParentNSID: -1})
	}
	addr := func(typ uint16, last byte) []byte {
		return rtnl.AppendAddr(nil, typ, 0, 0, &rtnl.Addr{Family: unix.AF_INET, Index: 1, Local: netip.AddrFrom4([4]byte{192, 0, 2, last}), PrefixLen: 24})
	}
	for _, c := range []struct {
		name   string
		fails  rtnl.Kind
		before []byte // what the dump that fails has shown
		news   []byte
		routes int // in the kernel after it
	}{
		{"an unknown link went down", rtnl.KindLink, nil, link(unix.RTM_NEWLINK, 0), 0},
		{"an unknown link went", rtnl.KindLink, nil, link(unix.RTM_DELLINK, 0), 0},
		{"an unknown address went, the last", rtnl.KindAddr, nil, addr(unix.RTM_DELADDR, 1), 0},
		{"a known address went, not the last", rtnl.KindAddr, addr(unix.RTM_NEWADDR, 1), addr(unix.RTM_DELADDR, 1), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScript(t, mirror.Params{})
			route := [][]byte{aRoute(unix.RTM_NEWROUTE, 1)}
			for range 4 { // the first time, and three times more
				dumps := s.dumps
				s.dumps = nil
				for _, d := range dumps {
					switch d.Dump {
					case c.fails:
						s.e.Dumped(d.Epoch, c.before)
					case rtnl.KindRoute:
						s.e.Dumped(d.Epoch, route[0])
					}
					s.e.DumpDone(s.now, d.Epoch, d.Dump, d.Dump != c.fails, false)
				}
				s.requests()
			}
			if len(s.dumps) > 0 || s.e.Deadline().IsZero() || !s.e.Live(rtnl.KindRoute) {
				t.Fatalf("it does not wait: %+v", s.e.Status(s.now))
			}
			s.notify(c.news)
			for range 4 { // from now on all is well
				dumps := s.dumps
				s.dumps = nil
				for _, d := range dumps {
					if d.Dump == rtnl.KindRoute {
						for range c.routes {
							s.e.Dumped(d.Epoch, route[0])
						}
					}
					s.e.DumpDone(s.now, d.Epoch, d.Dump, true, false)
				}
				s.now = s.now.Add(time.Second)
				s.e.Tick(s.now)
				s.requests()
			}
			if n := s.e.Count(rtnl.KindRoute); n != c.routes || !s.e.Live(rtnl.KindRoute) {
				t.Errorf("the mirror has %d routes, the kernel %d", n, c.routes)
			}
		})
	}
}
