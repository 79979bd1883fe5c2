package netns

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/nstest"
)

// TestRulesArePutBack: what others do to the rules and the sets is undone, and
// told.
func TestRulesArePutBack(t *testing.T) {
	l := newLab(t)
	other, err := dialNFT(l.fwd.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	table := func(family uint8) []byte {
		return message(nil, unix.NFT_MSG_DELTABLE, 0, family, text(nil, unix.NFTA_TABLE_NAME, nftTable))
	}
	flush := message(nil, unix.NFT_MSG_DELRULE, 0, nfprotoNetdev, text(text(nil, unix.NFTA_RULE_TABLE, nftTable), unix.NFTA_RULE_CHAIN, fmt.Sprintf("phy%d", l.phya)))
	for what, msgs := range map[string][][]byte{
		"the whole ruleset is flushed":  {table(nfprotoNetdev), table(nfprotoInet)},
		"the rules of a phy are gone":   {flush},
		"an address is taken from sets": elemMsgs(unix.NFT_MSG_DELSETELEM, nfprotoNetdev, set4, [][]byte{netip.MustParseAddr(netA4 + "1").AsSlice()}),
	} {
		expect(t, l.a, netA4+"1", "ttl=64")
		time.Sleep(2 * guardEvery)
		if err := other.commit(msgs...); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		nstest.Eventually(t, 5*time.Second, func() string {
			if out, err := l.a.Try("ping", "-n", "-c", "1", "-W", "1", netA4+"1"); err != nil {
				return what + ": " + out
			}
			return ""
		})
		expect(t, l.a, netB4+"2", "ttl=63")
	}
	l.wait("Disturbed", func(e dataplane.Event) bool {
		d, ok := e.(dataplane.Disturbed)
		return ok && d.Kind == dataplane.KindLocal
	})
}

// TestLostNotifications: with a buffer that is too small for what happens, what
// is known in the end is what there is.
func TestLostNotifications(t *testing.T) {
	w := newWorld(t)
	w.addPhy("phy0")
	var seen struct {
		mtu       uint32
		disturbed bool
	}
	events := make(chan dataplane.Event) // the consumer is behind while nobody reads
	o := w.options(nil)
	o.RcvBuf = 4096
	ended := make(chan struct{})
	o.Deliver = func(e dataplane.Event) {
		select {
		case events <- e:
		case <-ended:
		}
	}
	d := New(o)
	defer d.Close()
	defer close(ended)
	d.Connect(1)
	index := uint32(0)
	var script strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&script, "link set phy0 mtu %d\n", 1300+i%200)
	}
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(script.String()+"link set phy0 mtu 1444\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := (<-events).(dataplane.Up); !ok {
		t.Fatal("not up")
	}
	w.fwd.Run("ip -batch " + file)
	end := time.After(20 * time.Second)
	for seen.mtu != 1444 || !seen.disturbed {
		select {
		case e := <-events:
			switch e := e.(type) {
			case dataplane.Changed:
				seen.mtu, index = e.Interface.MTU, e.Interface.Index
			case dataplane.Disturbed:
				seen.disturbed = true
			case dataplane.Down:
				t.Fatal(e.Err)
			}
		case <-end:
			t.Fatalf("MTU is known as %d, should be 1444; routes told as disturbed: %v (no loss? interface %d)", seen.mtu, seen.disturbed, index)
		}
	}
}

// TestCompanionNamespaceDies: a namespace of companions that is deleted is not
// kept alive, and its pairs end.
func TestCompanionNamespaceDies(t *testing.T) {
	l := newLab(t)
	inode, err := inodeOf(l.ctlFile)
	if err != nil {
		t.Fatal(err)
	}
	unmountNS(l.ctlFile)
	l.ctl.Close()
	l.wait("Gone of the companion's end", func(e dataplane.Event) bool {
		g, ok := e.(dataplane.Gone)
		return ok && g.Index == l.hosta.HostPort
	})
	l.dp.Dump(l.epoch, dataplane.KindPair)
	l.wait("an empty dump", func(e dataplane.Event) bool {
		if d, ok := e.(dataplane.Dumped); ok && len(d.Pairs) > 0 {
			t.Errorf("pairs are left: %+v (namespace %d)", d.Pairs, inode)
		}
		_, ok := e.(dataplane.DumpDone)
		return ok
	})
	l.ctl = nstest.New(t)
	mountNS(t, l.ctl, l.ctlFile)
	l.ctl.IP("link set lo up")
	l.write(l.pairAdd(l.phya, "hosta"))
	l.ctl.IP("link set hosta up")
	l.ctl.IP("addr add " + netA4 + "1/24 dev hosta")
	expect(t, l.a, netA4+"1", "ttl=64")
}

// TestMake: a namespace that is wanted is made, with its file; the daemon's own
// is refused.
func TestMake(t *testing.T) {
	newWorld(t) // root
	connect := func(o Options) dataplane.Event {
		events := make(chan dataplane.Event, 16)
		o.Deliver = func(e dataplane.Event) { events <- e }
		d := New(o)
		defer d.Close()
		d.Connect(1)
		return <-events
	}
	file := filepath.Join(t.TempDir(), "made")
	t.Cleanup(func() { unmountNS(file) })
	if down, ok := connect(Options{NetNS: file}).(dataplane.Down); !ok || !strings.Contains(down.Err.Error(), "ip netns add") {
		t.Errorf("no namespace, not to be made: %+v", down)
	}
	if up, ok := connect(Options{NetNS: file, Make: true}).(dataplane.Up); !ok || !up.Caps.Local || !up.Caps.Resolves || up.Caps.Carrier || up.Caps.TUN {
		t.Errorf("no namespace, to be made: %+v", up)
	}
	if down, ok := connect(Options{NetNS: "/proc/self/ns/net"}).(dataplane.Down); !ok || !errors.Is(down.Err, dataplane.ErrUnsupported) {
		t.Errorf("the daemon's own namespace: %+v", down)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no namespace"), 0o600); err != nil {
		t.Fatal(err)
	}
	if down, ok := connect(Options{NetNS: text}).(dataplane.Down); !ok {
		t.Errorf("a file that is no namespace: %+v", down)
	}
}

// TestGuardsComeFirst: in a namespace that had a phy with an address before,
// nothing of the router is answered by the namespace itself.
func TestGuardsComeFirst(t *testing.T) {
	l := newLab(t)
	l.dp.Close()
	l.fwd.IP("addr add 192.0.2.99/24 dev phya")
	l.connect()
	if out, err := l.a.Try("ping", "-n", "-c", "1", "-W", "1", "192.0.2.99"); err == nil {
		t.Errorf("an address of the namespace itself answers:\n%s", out)
	}
	expect(t, l.a, netA4+"1", "ttl=64")
}
