package pair_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/dataplane/memory"
	"netbraid/internal/pair"
	"netbraid/rtnl"
)

// scene is a world in which a test does one thing after the other, each to its
// end.
type scene struct {
	*testing.T
	*world
}

func newScene(t *testing.T, o memory.Options, specs ...pair.Spec) *scene {
	t.Helper()
	s := &scene{t, newWorld(1, o, nil)}
	s.world.trace = func(line string) { s.Log(line) }
	for _, sp := range specs {
		if s.dp.Named(sp.Phy) == nil {
			s.dp.AddPhy(sp.Phy, dataplane.Ethernet)
		}
	}
	s.configure(specs...)
	s.settle()
	return s
}

// settle lets everything come to rest, duplicate address detection included,
// and holds that both sides agree.
func (s *scene) settle() {
	s.Helper()
	s.rest()
	s.advance(5 * time.Second)
	s.rest()
	if s.err != nil {
		s.Fatal(s.err)
	}
	if bad := s.disagreement(); bad != "" {
		s.Fatal(bad)
	}
}

// do does something in Linux' first namespace and lets it settle.
func (s *scene) linux0(msgs ...[]byte) {
	s.Helper()
	for _, m := range msgs {
		if err := s.spaces[0].request(m); err != nil {
			s.Fatal(err)
		}
	}
	s.settle()
}

func (s *scene) outside(op dataplane.Op) {
	s.Helper()
	if err := s.dp.Outside(&op); err != nil {
		s.Fatal(err)
	}
	s.settle()
}

func (s *scene) host(name string) *rtnl.Link {
	s.Helper()
	for _, sp := range s.spaces {
		if l := sp.link(name); l != nil {
			return l
		}
	}
	s.Fatalf("no link %s in %s", name, s.spaces[0].kern)
	return nil
}

func (s *scene) phy(name string) *dataplane.Interface {
	s.Helper()
	i := s.dp.Named(name)
	if i == nil {
		s.Fatalf("no interface %s on the dataplane", name)
	}
	return i
}

func (s *scene) status(phy string) pair.PairStatus {
	s.Helper()
	st := s.e.Status(s.now)
	i := slices.IndexFunc(st.Pairs, func(p pair.PairStatus) bool { return p.Phy == phy })
	if i < 0 {
		s.Fatalf("no pair of %s: %+v", phy, st)
	}
	return st.Pairs[i]
}

// kinds lists the kinds of what was written to the dataplane since the last
// call.
func (s *scene) kinds() (out []string) {
	for _, o := range s.writes {
		out = append(out, o.Kind.String())
	}
	s.writes = nil
	return out
}

func (s *scene) addrs(phy string) string {
	var out []string
	for _, p := range s.dp.Addrs(s.phy(phy).Index) {
		out = append(out, p.String())
	}
	return strings.Join(out, " ")
}

func (s *scene) linuxAddrs(name string) string {
	var out []string
	l := s.host(name)
	for _, sp := range s.spaces {
		if k := sp.link(name); k == nil || k.Index != l.Index {
			continue
		}
		for _, a := range sp.addrs() {
			if a.Index == l.Index && !a.Local.IsLinkLocalUnicast() {
				out = append(out, netip.PrefixFrom(a.Local, int(a.PrefixLen)).String())
			}
		}
	}
	return strings.Join(out, " ")
}

func (s *scene) want(what string, got, want any) {
	s.Helper()
	if got != want {
		s.Errorf("%s: %v, want %v", what, got, want)
	}
}

func addAddr(index uint32, p string) []byte {
	return addrMsg(unix.RTM_NEWADDR, index, netip.MustParsePrefix(p), netip.Addr{})
}

func delAddr(index uint32, p string) []byte {
	return addrMsg(unix.RTM_DELADDR, index, netip.MustParsePrefix(p), netip.Addr{})
}

func setUp(index uint32, on bool) []byte { return linkSet(index, rtnl.LinkUp, upFlag(on)) }

func setMTU(index, mtu uint32) []byte { return linkSet(index, rtnl.LinkMTU, rtnl.Link{MTU: mtu}) }

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var like = memory.Options{Caps: vppCaps}
