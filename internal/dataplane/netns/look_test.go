package netns

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// TestLook: what a forwarding namespace has is seen as a connection would see
// it, and nothing in it changes, also when no Dataplane was ever connected.
func TestLook(t *testing.T) {
	w := newWorld(t)
	w.addPhy("eth0")
	look := func() dataplane.Seen {
		t.Helper()
		seen, err := Look(t.Context(), w.file)
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	rules := func() (n int) {
		c, err := dialNFT(w.fwd.FD())
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		for _, family := range []uint8{nfprotoInet, nfprotoNetdev} {
			if err := c.dump(unix.NFT_MSG_GETRULE, family, nil, func([]byte) { n++ }); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	state := func() string {
		return fmt.Sprint(rules(), " rules\n") + w.fwd.IP("-d link show") + w.fwd.Run("sysctl net.ipv4.ip_forward net.ipv4.conf.all.arp_ignore net.ipv6.conf.all.forwarding")
	}
	before := state()
	if seen := look(); len(seen.Pairs) != 0 || seen.Interface("eth0") == nil || seen.Interface("eth1") != nil {
		t.Errorf("%+v", seen)
	}
	if after := state(); after != before {
		t.Errorf("a look has changed the namespace:\n%s\nit was\n%s", after, before)
	}

	l := newLab(t)
	w = l.world
	before = state() + l.ruleset()
	seen := look()
	p := seen.Pair(l.phya)
	if p == nil || p.HostName != "hosta" || p.NetNS != w.ctlFile || p.HostPort != l.hosta.HostPort || len(seen.Pairs) != 2 {
		t.Errorf("pairs %+v", seen.Pairs)
	}
	if port := seen.At(l.hosta.HostPort); port == nil || !port.Companion {
		t.Errorf("the dataplane's end is %+v", port)
	}
	if after := state() + l.ruleset(); after != before {
		t.Errorf("a look has changed the namespace:\n%s\nit was\n%s", after, before)
	}
	for file, want := range map[string]string{filepath.Join(t.TempDir(), "none"): "there is none: no such file", "/run/netns/netbraid-test-none": "(make it: ip netns add netbraid-test-none)",
		"/etc/passwd": "not that of a network namespace", "/proc/self/ns/net": "needs a namespace of its own"} {
		if _, err := Look(t.Context(), file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
