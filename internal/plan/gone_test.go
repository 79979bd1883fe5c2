package plan

import (
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/model"
	"netbraid/rtnl"
)

// TestSettingOfLinkThatHasGone: the answer to a write that comes after its link
// has gone leaves nothing behind.
func TestSettingOfLinkThatHasGone(t *testing.T) {
	eth0 := rtnl.Link{Index: 2, Name: "eth0", Flags: unix.IFF_UP}
	b := &board{links: []rtnl.Link{eth0}}
	p := New(0, b, NewOwned(), 1)
	p.Release()
	k := model.SysctlKey{Index: 2, Name: "ipv4/conf/rp_filter"}
	p.SetLink("eth0", &LinkWant{Name: "eth0", Sysctl: []model.Sysctl{{Name: k.Name, Value: "1"}}})
	p.Plan(t0)
	p.SysctlRead(k, "0", nil)
	ops := p.Plan(t0)
	if len(ops) != 1 {
		t.Fatal(names(ops))
	}
	b.links = nil
	p.LinkSeen(&eth0, nil)
	p.Settle(t0, Result{ID: ops[0].ID, Value: "1"})
	p.Plan(t0)
	if p.HasSysctls() || len(p.ledger.entries)+len(p.found)+len(p.ledger.placed) != 0 {
		t.Errorf("left: %v %v %v %v", p.sysctl, p.found, p.ledger.entries, p.ledger.placed)
	}
}

// TestPortSeesRenamedBridge: a port waits for its bridge by name, and a rename
// brings that as well.
func TestPortSeesRenamedBridge(t *testing.T) {
	b := &board{links: []rtnl.Link{{Index: 2, Name: "eth0", Flags: unix.IFF_UP}, {Index: 3, Name: "x", Kind: "bridge"}}}
	p := New(0, b, NewOwned(), 1)
	p.Release()
	p.SetLink("eth0", &LinkWant{Name: "eth0", Master: "br0", Set: rtnl.LinkMaster})
	if ops := p.Plan(t0); len(ops) != 0 {
		t.Fatal(names(ops))
	}
	old := b.links[1]
	b.links[1].Name = "br0"
	p.LinkSeen(&old, &b.links[1])
	if got := names(p.Plan(t0)); got != "set link eth0" {
		t.Errorf("after the rename: %q", got)
	}
}
