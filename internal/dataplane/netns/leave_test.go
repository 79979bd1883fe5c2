package netns

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/internal/nstest"
)

// ours counts the chains that the forwarding namespace has of us.
func (w *world) ours() int {
	w.t.Helper()
	c, err := dialNFT(w.fwd.FD())
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.close()
	have, err := readChains(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(have)
}

// TestLeave: a namespace that was left can be reached again itself, and others'
// rules are still there.
func TestLeave(t *testing.T) {
	l := newLab(t)
	c, err := dialNFT(l.fwd.FD())
	if err != nil {
		t.Fatal(err)
	}
	theirs := text(nil, unix.NFTA_TABLE_NAME, "theirs")
	if err := c.commit(message(nil, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, nfprotoInet, theirs)); err != nil {
		t.Fatal(err)
	}
	l.write(dataplane.Op{Kind: dataplane.PairDel, Pair: &dataplane.Pair{Phy: l.phya}, Index: l.phya}, dataplane.Op{Kind: dataplane.PairDel, Pair: &dataplane.Pair{Phy: l.phyb}, Index: l.phyb})
	l.fwd.IP("addr add 192.0.2.7/24 dev phya")
	ping := func() error {
		_, err := l.fwd.Try("ping", "-c1", "-W1", "192.0.2.2")
		return err
	}
	if ping() == nil {
		t.Error("the guards let through what the forwarding namespace sends itself")
	}
	if l.ours() == 0 {
		t.Fatal("there are no rules to be taken away")
	}
	l.dp.Leave()
	if n := l.ours(); n != 0 {
		t.Errorf("%d chains are left", n)
	}
	nstest.Eventually(t, 5*time.Second, func() string {
		if err := ping(); err != nil {
			return err.Error()
		}
		return ""
	})
	if err := c.commit(message(nil, unix.NFT_MSG_DELTABLE, 0, nfprotoInet, theirs)); err != nil {
		t.Errorf("somebody else's table: %v", err)
	}
	c.close()
	l.dp.Leave() // once more does nothing
}

// TestLeaveStranger: a namespace that was made anew under the name of one that is
// to be left is not written to, and shows nothing of ours.
func TestLeaveStranger(t *testing.T) {
	w := newWorld(t)
	w.addPhy("eth0")
	l := &lab{world: w, more: make(chan struct{}, 1)}
	before := w.fwd.IP("-d link show") + w.fwd.Run("sysctl net.ipv4")
	o := w.options(l.deliver)
	o.Leaving = true
	l.dp = New(o)
	defer l.dp.Close()
	l.epoch = 1
	l.dp.Connect(1)
	var caps dataplane.Caps
	l.wait("Up", func(e dataplane.Event) bool {
		u, ok := e.(dataplane.Up)
		caps = u.Caps
		return ok
	})
	for _, k := range dataplane.Kinds {
		if k == dataplane.KindLocal && !caps.Local {
			continue
		}
		l.dp.Dump(1, k)
		l.wait(k.String(), func(e dataplane.Event) bool {
			d, ok := e.(dataplane.Dumped)
			if ok && (len(d.Pairs)+len(d.Routes)+len(d.Tables)+len(d.Neighs) > 0) {
				t.Errorf("%s: %+v", k, d)
			}
			done, ok := e.(dataplane.DumpDone)
			if ok && done.Err != nil {
				t.Errorf("%s: %v", k, done.Err)
			}
			return ok
		})
	}
	l.dp.Leave()
	if after := w.fwd.IP("-d link show") + w.fwd.Run("sysctl net.ipv4"); after != before || w.ours() != 0 {
		t.Errorf("it was changed: %d chains\n%s", w.ours(), diffLines(before, after))
	}
}

// diffLines are the lines of b that a does not have.
func diffLines(a, b string) (out string) {
	for _, line := range strings.Split(b, "\n") {
		if !strings.Contains(a, line) {
			out += line + "\n"
		}
	}
	return out
}

// TestLeaveAnother: a file that stands for another namespace by now has nothing of
// ours taken out of that.
func TestLeaveAnother(t *testing.T) {
	l := newLab(t)
	n := l.ours()
	l.dp.do(func() { l.dp.s.inode++ })
	l.dp.Leave()
	if now := l.ours(); n == 0 || now != n {
		t.Errorf("%d chains of %d are left", now, n)
	}
}
