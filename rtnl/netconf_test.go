package rtnl

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

var anyNetconf = rapid.Custom(func(t *rapid.T) Netconf {
	n := Netconf{Family: rapid.SampledFrom([]uint8{unix.AF_INET, unix.AF_INET6, unix.AF_MPLS}).Draw(t, "family"),
		Index: rapid.Int32Min(NetconfDefault).Draw(t, "index")}
	for i := range netconfFields {
		if f := &netconfFields[i]; rapid.Bool().Draw(t, f.name+"?") {
			n.Known |= f.bit
			*f.at(&n) = rapid.Int32().Draw(t, f.name)
		}
	}
	return n
})

func TestNetconfRoundTrip(t *testing.T) {
	checkRoundTrip(t, unix.RTM_NEWNETCONF, anyNetconf, AppendNetconf, DecodeNetconf)
}

func TestNetconfUpdate(t *testing.T) {
	n := Netconf{Family: unix.AF_INET, Index: 3, Known: NetconfForwarding | NetconfRPFilter, Forwarding: 1, RPFilter: 2}
	n.Update(&Netconf{Family: unix.AF_INET, Index: 3, Known: NetconfRPFilter | NetconfIgnoreLinkdown, IgnoreLinkdown: 1})
	if want := (Netconf{Family: unix.AF_INET, Index: 3, Known: NetconfForwarding | NetconfRPFilter | NetconfIgnoreLinkdown, Forwarding: 1, IgnoreLinkdown: 1}); n != want {
		t.Errorf("%+v, want %+v", n, want)
	}
}

// netconfFiles are the files of the settings, by family. What a family does not
// announce is not there.
var netconfFiles = map[uint8]map[NetconfField]string{
	unix.AF_INET: {NetconfForwarding: "forwarding", NetconfRPFilter: "rp_filter", NetconfMCForwarding: "mc_forwarding",
		NetconfProxyNeigh: "proxy_arp", NetconfIgnoreLinkdown: "ignore_routes_with_linkdown", NetconfBCForwarding: "bc_forwarding"},
	unix.AF_INET6: {NetconfForwarding: "forwarding", NetconfMCForwarding: "mc_forwarding", NetconfProxyNeigh: "proxy_ndp",
		NetconfIgnoreLinkdown: "ignore_routes_with_linkdown"},
	unix.AF_MPLS: {NetconfInput: "input"},
}

// netconfDirs are the directories of the families.
var netconfDirs = map[uint8]string{unix.AF_INET: "ipv4", unix.AF_INET6: "ipv6", unix.AF_MPLS: "mpls"}

func (w *world) writeSysctl(path, value string) {
	w.Helper()
	if err := w.ns.Do(func() error { return os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644) }); err != nil {
		w.Fatal(err)
	}
}

func (w *world) readSysctl(path string) (s string) {
	w.Helper()
	if err := w.ns.Do(func() error {
		b, err := os.ReadFile("/proc/sys/net/" + path)
		s = strings.TrimSpace(string(b))
		return err
	}); err != nil {
		w.Fatal(err)
	}
	return s
}

// netconfText is what FormatNetconf should say, from the files.
func (w *world) netconfText(family uint8, dir string) string {
	w.Helper()
	who := dir
	if dir != "all" && dir != "default" {
		who = "dev " + dir
	}
	out := fmt.Sprintf("netconf %s %s", families.of(family), who)
	for i := range netconfFields {
		f := &netconfFields[i]
		if file, ok := netconfFiles[family][f.bit]; ok {
			out += " " + f.name + " " + w.readSysctl(netconfDirs[family]+"/conf/"+dir+"/"+file)
		}
	}
	return out
}

// compareNetconf holds a dump of all families against /proc/sys.
func (w *world) compareNetconf(families ...uint8) {
	w.Helper()
	var want, got []string
	links := w.links()
	names := map[uint32]string{}
	for name, l := range links {
		names[l.Index] = name
	}
	for _, f := range families {
		dirs := slices.Sorted(maps.Keys(links))
		if f != unix.AF_MPLS {
			dirs = append(dirs, "all", "default")
		}
		for _, dir := range dirs {
			want = append(want, w.netconfText(f, dir))
		}
	}
	for _, n := range dumpAll(w, KindNetconf, Filter{}, DecodeNetconf) {
		got = append(got, FormatNetconf(&n, func(i uint32) string { return names[i] }))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(want, got) {
		w.Errorf("the dump says\n%s\nthe files say\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestKernelNetconf compares dumps with /proc/sys, and holds which changes are
// announced, and which are not.
func TestKernelNetconf(t *testing.T) {
	w := newWorld(t)
	w.do(newLink(LinkRequest{Link: Link{Index: 20, Name: "va", Kind: kindVeth}, Set: LinkName, Peer: &VethPeer{Name: "vb", Index: 21}}))
	w.compareNetconf(unix.AF_INET, unix.AF_INET6)
	n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF, unix.RTNLGRP_MPLS_NETCONF}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	const ignore = "ignore_routes_with_linkdown"
	for _, c := range []struct{ path, value, heard string }{
		{"ipv4/conf/va/" + ignore, "1", "+ netconf inet dev if20 ignore_routes_with_linkdown 1"},
		{"ipv4/conf/va/" + ignore, "1", ""},
		{"ipv4/conf/all/" + ignore, "1", "+ netconf inet all ignore_routes_with_linkdown 1"}, // and nowhere else
		// The default is copied to vb in silence, which was not written to itself.
		{"ipv4/conf/default/" + ignore, "1", "+ netconf inet default ignore_routes_with_linkdown 1"},
		{"ipv4/conf/default/rp_filter", "1", "+ netconf inet default rp_filter 1"},
		{"ipv4/conf/va/bc_forwarding", "1", ""},
		{"ipv6/conf/va/" + ignore, "1", "+ netconf inet6 dev if20 ignore_routes_with_linkdown 1"},
		{"ipv6/conf/va/" + ignore, "2", ""},
		// Copied to every link, and in silence to the default.
		{"ipv6/conf/all/" + ignore, "1", "+ netconf inet6 dev if1 ignore_routes_with_linkdown 1|+ netconf inet6 dev if21 ignore_routes_with_linkdown 1|+ netconf inet6 all ignore_routes_with_linkdown 1"},
		{"ipv6/conf/default/" + ignore, "0", "+ netconf inet6 default ignore_routes_with_linkdown 0"}, // not copied
		{"ipv6/conf/vb/proxy_ndp", "1", "+ netconf inet6 dev if21 proxy_neigh 1"},
	} {
		w.writeSysctl(c.path, c.value)
		if heard := strings.Join(messages(t, n), "|"); heard != c.heard {
			t.Errorf("%s = %s: heard %q, want %q", c.path, c.value, heard, c.heard)
		}
	}
	w.compareNetconf(unix.AF_INET, unix.AF_INET6)
	if got := w.readSysctl("ipv4/conf/vb/" + ignore); got != "1" {
		t.Errorf("the default was not copied to vb: %s", got)
	}
	// A new name is the end of the old directory; so are MTUs too small for IPv6.
	w.do(setLink(LinkRequest{Link: Link{Index: 20, Name: "vc", MTU: 1279}, Set: LinkName | LinkMTU}))
	if got := messages(t, n); len(got) != 3 || got[0] != "- netconf inet6 dev if20" || got[1] != "- netconf inet dev if20" ||
		!strings.HasPrefix(got[2], "+ netconf inet dev if20 forwarding 0 rp_filter 1 ") {
		t.Errorf("rename and a small MTU: %q", got)
	}
	if got := w.oneNetconf(unix.AF_INET, 20); got.IgnoreLinkdown != 1 || got.Known&NetconfIgnoreLinkdown == 0 || got.Index != 20 {
		t.Errorf("settings of one link: %+v", got)
	}
}

// messages reads what has been announced.
func messages(t *testing.T, n *Notifier) (out []string) {
	t.Helper()
	if err := n.Drain(func(b []byte) {
		for len(b) > 0 {
			h, body, rest, err := NextMessage(b)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, FormatMessage(h, body, nil))
			b = rest
		}
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// oneNetconf asks for the settings of one link.
func (w *world) oneNetconf(family uint8, index int32) (n Netconf) {
	w.Helper()
	s, err := openSock(w.ns.FD(), 0, unix.NETLINK_ROUTE)
	if err != nil {
		w.Fatal(err)
	}
	defer s.close()
	req := AppendNetconf(nil, unix.RTM_GETNETCONF, unix.NLM_F_REQUEST, 9, &Netconf{Family: family, Index: index})
	buf := make([]byte, 4096)
	var size int
	err = s.raw.Control(func(fd uintptr) {
		if err = unix.Sendto(int(fd), req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err == nil {
			size, _, err = unix.Recvfrom(int(fd), buf, 0)
		}
	})
	h, body, _, perr := NextMessage(buf[:size])
	if err != nil || perr != nil || h.Type != unix.RTM_NEWNETCONF {
		w.Fatalf("%v, %v, %+v", err, perr, h)
	}
	if err := DecodeNetconf(body, &n); err != nil {
		w.Fatal(err)
	}
	return n
}

// TestKernelNetconfWithoutMPLS: asked for a family that the kernel does not have
// it shows all that it has.
func TestKernelNetconfWithoutMPLS(t *testing.T) {
	w := newWorld(t)
	if _, err := os.Stat("/proc/sys/net/mpls"); err == nil {
		t.Skip("this kernel has MPLS")
	}
	if all, mpls := dumpAll(w, KindNetconf, Filter{}, DecodeNetconf), dumpAll(w, KindNetconf, Filter{Family: unix.AF_MPLS}, DecodeNetconf); len(all) == 0 || !slices.Equal(all, mpls) {
		t.Errorf("of all families %+v, of MPLS %+v", all, mpls)
	}
}

// TestVMNetconf has the settings of MPLS, which come and go with a module.
func TestVMNetconf(t *testing.T) {
	requireVM(t) // vmtest.Require(t)
	w := vmWorld(t)
	w.compareNetconf(unix.AF_INET, unix.AF_INET6, unix.AF_MPLS)
	n, err := Subscribe(w.ns.FD(), []uint32{unix.RTNLGRP_MPLS_NETCONF}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	want := "netconf mpls dev if" + strconv.Itoa(idxUplink) + " input "
	for _, c := range []struct{ value, heard string }{{"1", ""}, {"0", "+ " + want + "0"}, {"1", "+ " + want + "1"}} {
		w.writeSysctl("mpls/conf/wan0/input", c.value)
		if heard := strings.Join(messages(t, n), "|"); heard != c.heard {
			t.Errorf("input = %s: heard %q, want %q", c.value, heard, c.heard)
		}
	}
	w.do(AppendLink(nil, unix.RTM_DELLINK, 0, 0, &LinkRequest{Link: Link{Index: idxUplink}}))
	if heard := messages(t, n); len(heard) == 0 || !slices.Contains(heard, "- netconf mpls dev if"+strconv.Itoa(idxUplink)) {
		t.Errorf("the link has gone: heard %q", heard)
	}
}
