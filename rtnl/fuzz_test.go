package rtnl

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// fuzzBody holds for every decoder: no body makes it panic, and what it
// accepts it reads again after encoding, unchanged.
func fuzzBody[T any](f *testing.F, typ, flags uint16, gen *rapid.Generator[T], enc encoder[T], dec decoder[T], format func(*T, func(uint32) string) string) {
	for i := range 20 {
		v := gen.Example(i)
		f.Add(enc(nil, typ, flags, 1, &v)[unix.SizeofNlMsghdr:])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v T
		if dec(body, &v) != nil {
			return
		}
		if format != nil && format(&v, nil) == "" {
			t.Error("nothing to print")
		}
		again := reread(t, &v, typ, flags, enc, dec)
		if d := cmp.Diff(v, again, compareAddrs); d != "" {
			t.Fatalf("decoded again (-first +second):\n%s", d)
		}
	})
}

func FuzzDecodeLink(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWLINK, 0, anyLink, AppendLinkInfo, DecodeLink, FormatLink)
}

func FuzzDecodeLinkRequest(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWLINK, unix.NLM_F_CREATE, anyRequest, AppendLink, DecodeLinkRequest, nil)
}

func FuzzDecodeAddr(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWADDR, 0, anyAddr, AppendAddr, DecodeAddr, FormatAddr)
}

func FuzzDecodeNeigh(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWNEIGH, 0, anyNeigh, AppendNeigh, DecodeNeigh, FormatNeigh)
}

func FuzzDecodeRoute(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWROUTE, 0, anyRoute, AppendRoute, DecodeRoute, FormatRoute)
}

func FuzzDecodeRule(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWRULE, 0, anyRule, AppendRule, DecodeRule, FormatRule)
}

func FuzzDecodeNexthop(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWNEXTHOP, 0, anyNexthop, AppendNexthop, DecodeNexthop, FormatNexthop)
}

func FuzzDecodeNetconf(f *testing.F) {
	fuzzBody(f, unix.RTM_NEWNETCONF, 0, anyNetconf, AppendNetconf, DecodeNetconf, FormatNetconf)
}

func FuzzHops(f *testing.F) {
	for i := range 10 {
		f.Add(anyRoute.Example(i).Multipath)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hops, err := Hops(s)
		if err != nil {
			return
		}
		canonical := AppendHops(hops)
		if again, err := Hops(canonical); err != nil || AppendHops(again) != canonical {
			t.Fatalf("%x is not stable: %v", s, err)
		}
	})
}

// FuzzMessages walks whatever a socket could deliver, the way every reader does.
func FuzzMessages(f *testing.F) {
	route, link := anyRoute.Example(1), anyLink.Example(2)
	b := AppendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_MULTI, 5, &route)
	b = AppendLinkInfo(b, unix.RTM_DELLINK, 0, 0, &link)
	b = AppendError(b, 5, int(unix.EEXIST), Header{Len: 16, Type: unix.RTM_NEWROUTE}, "it is there")
	f.Add(AppendDone(b, 5, 0))
	f.Add(b)
	for i := range 3 {
		rule, hop, neigh, addr := anyRule.Example(i), anyNexthop.Example(i), anyNeigh.Example(i), anyAddr.Example(i)
		b = AppendRule(nil, unix.RTM_NEWRULE, unix.NLM_F_MULTI|unix.NLM_F_DUMP_INTR, 5, &rule)
		b = AppendNexthop(b, unix.RTM_NEWNEXTHOP, unix.NLM_F_MULTI, 5, &hop)
		b = AppendNeigh(b, unix.RTM_NEWNEIGH, unix.NLM_F_MULTI, 5, &neigh)
		f.Add(AppendAddr(b, unix.RTM_NEWADDR, unix.NLM_F_MULTI, 5, &addr))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		size := len(b)
		for rest := b; len(rest) > 0; {
			h, body, next, err := NextMessage(rest)
			if err != nil {
				break
			}
			if len(next) >= len(rest) || len(body) != int(h.Len)-unix.SizeofNlMsghdr {
				t.Fatalf("no progress at %d of %d octets", len(rest), size)
			}
			if FormatMessage(h, body, nil) == "" {
				t.Fatal("nothing to print")
			}
			// The short cut of a dump is of one mind with the long way.
			if n := plain(rest, 5); n > 0 && (h.Seq != 5 || h.Type < unix.NLMSG_MIN_TYPE || h.Flags&unix.NLM_F_DUMP_INTR != 0 || len(rest)-min(n, len(rest)) != len(next)) {
				t.Fatalf("plain takes %+v for an object of %d octets, %d are left", h, n, len(next))
			}
			rest = next
		}
		p, err := scan(b, 5)
		if err == nil && p.objects > size/unix.SizeofNlMsghdr {
			t.Fatalf("%d objects in %d octets", p.objects, size)
		}
		errs := []error{errPending, errPending}
		if n := settle(b, 5, [][]byte{nil, nil}, errs, func(i int, _ Header, _ []byte) { _ = errs[i] }); n > len(errs) {
			t.Fatalf("%d answers to %d requests", n, len(errs))
		}
	})
}

func FuzzParseError(f *testing.F) {
	msg := AppendError(nil, 1, int(unix.EINVAL), Header{Len: 16, Type: unix.RTM_NEWLINK}, "Invalid MTU")
	f.Add(msg[unix.SizeofNlMsghdr:])
	f.Fuzz(func(t *testing.T, body []byte) {
		errno, _, err := ParseError(body)
		if err == nil && (errno < 0 || errno > 4095) {
			t.Fatalf("errno %d", errno)
		}
		if _, _, err := parseDone(body); err == nil && len(body) >= 4 && int32(ne.Uint32(body)) > 0 {
			t.Fatal("a positive code was taken for an errno")
		}
	})
}

func FuzzParseHWAddr(f *testing.F) {
	f.Add("02:00:5e:10:00:01")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHWAddr(s)
		if err != nil {
			return
		}
		if again, err := ParseHWAddr(h.String()); err != nil || again != h {
			t.Fatalf("%q reads as %v, then %v (%v)", s, h, again, err)
		}
	})
}
