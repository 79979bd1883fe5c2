package sim

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// fuzzWorld has a link of each kind, addresses and routes, and everything
// subscribed.
func fuzzWorld(t testing.TB) *Kernel {
	k, i := world(t)
	k.opts.VLANFiltering = true
	k.Subscribe(groups...)
	must(t, k, addrMsg(i, "2001:db8::1/64"))
	for _, l := range []rtnl.Link{
		{Kind: kindBridge, Name: "br0"}, {Kind: kindVeth, Name: "v0"}, {Kind: kindVLAN, Name: "q0", Parent: i, VLAN: rtnl.VLAN{ID: 5}},
		{Kind: kindMACVLAN, Name: "m0", Parent: i},
	} {
		r := rtnl.LinkRequest{Link: l, Set: rtnl.LinkName | rtnl.LinkUp}
		r.Flags = unix.IFF_UP
		if l.Parent != 0 {
			r.Set |= rtnl.LinkParent
		}
		if l.Kind == kindVLAN {
			r.Set |= rtnl.VLANID
		}
		must(t, k, linkMsg(unix.RTM_NEWLINK, create, &r))
	}
	v, _ := k.Index("v0")
	br, _ := k.Index("br0")
	must(t, k, linkMsg(unix.RTM_NEWLINK, 0, &rtnl.LinkRequest{Link: rtnl.Link{Index: v, Master: br}, Set: rtnl.LinkMaster}))
	return k
}

// checkWorld wants what the world says of itself to be readable.
func checkWorld(t *testing.T, k *Kernel) {
	t.Helper()
	for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule, rtnl.KindNeigh, rtnl.KindNetconf} {
		if _, err := texts(k.Dump(rtnl.AppendDumpRequest(nil, kind, 0, rtnl.Filter{}))); err != nil {
			t.Fatalf("dump of %v: %v", kind, err)
		}
	}
	for {
		msg, _, ok := k.Receive()
		if !ok {
			break
		}
		var hi history
		if err := hi.add(msg); err != nil {
			t.Fatalf("notification %x: %v", msg, err)
		}
	}
	if s := k.String(); !strings.HasPrefix(s, "link ") {
		t.Fatalf("the world prints as %q", s)
	}
}

// FuzzRequest gives arbitrary octets to all that takes some: as one request, as
// a sequence of requests, as a request for a dump, as path and as value of a
// setting.
func FuzzRequest(f *testing.F) {
	for seed := range uint64(20) {
		g, k := newGenerator(seed, true), fuzzWorld(f)
		var all []byte
		for range opsPerSequence {
			op := g.next(k)
			if op.msg == nil {
				continue
			}
			k.Request(op.msg)
			f.Add(op.msg)
			all = append(all, op.msg...)
		}
		f.Add(all)
	}
	for _, kind := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRoute, rtnl.KindRule, rtnl.KindNeigh, rtnl.KindNetconf} {
		f.Add(rtnl.AppendDumpRequest(nil, kind, 1, rtnl.Filter{Family: unix.AF_INET6, Index: 2, Table: 100}))
	}
	for _, s := range []string{"", "ipv6/conf/eth0/disable_ipv6=1", "ipv4/conf/all/forwarding=-1", "ipv6/conf/eth0/mtu=99999999999999999999",
		"ipv6/conf/eth0/stable_secret=2001:db8::1", "ipv6/neigh/../x=1", "ipv6/conf/eth0/addr_gen_mode= 3 \n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k := fuzzWorld(t)
		k.Request(data)
		for b := data; len(b) > 0; {
			_, _, rest, err := rtnl.NextMessage(b)
			if err != nil {
				break
			}
			k.Request(b)
			b = rest
		}
		for _, d := range k.Dump(data) {
			for len(d) > 0 {
				_, _, rest, err := rtnl.NextMessage(d)
				if err != nil {
					t.Fatalf("dump %x: %v", d, err)
				}
				d = rest
			}
		}
		path, value, _ := strings.Cut(string(data), "=")
		for _, path := range []string{path, sysctlRoot + path, sysctlRoot + "ipv6/conf/eth0/" + path, sysctlRoot + "ipv4/conf/eth0/" + path} {
			if err := k.WriteSysctl(path, value); err == nil {
				if _, err := k.ReadSysctl(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EIO) {
					t.Fatalf("%s was written and cannot be read: %v", path, err)
				}
			}
		}
		k.Tick(time.Hour)
		checkWorld(t, k)
	})
}
