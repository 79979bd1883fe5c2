package ovs

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"netbraid/internal/nstest"
	"netbraid/internal/ovs/odp"
	"netbraid/internal/vmtest"
)

// TestKernelTunnels has two datapaths in two namespaces talk through a tunnel of
// each kind: the flows wrap what comes from an internal port, and take out what
// comes through the tunnel with the right key.
func TestKernelTunnels(t *testing.T) {
	vmtest.Require(t)
	a, b := newWorld(t), newWorld(t)
	a.IP(fmt.Sprintf("link add u0 type veth peer name u0 netns /proc/%d/fd/%d", os.Getpid(), b.FD()))
	under := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	over := []netip.Addr{netip.MustParseAddr("10.9.0.1"), netip.MustParseAddr("10.9.0.2")}
	var ds [2]odp.Datapath
	for i, w := range []*world{a, b} {
		w.Run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1")
		w.IP(fmt.Sprintf("addr add %s/24 dev u0", under[i]))
		w.IP("link set u0 up")
		ds[i] = w.datapath("sw0")
		w.port(ds[i], odp.TypeInternal, "in0")
		w.IP(fmt.Sprintf("addr add %s/24 dev in0", over[i]))
		w.IP("link set in0 mtu 1400 up")
	}
	for _, typ := range []odp.PortType{odp.TypeVXLAN, odp.TypeGeneve, odp.TypeGRE} {
		for i, w := range []*world{a, b} {
			w.tunnel(ds[i], typ, under[i], under[1-i])
		}
		for i, w := range []*world{a, b} {
			if out, err := w.Try("ping", "-c", "2", "-W", "5", "-i", "0.2", over[1-i].String()); err != nil {
				t.Errorf("%s: %v\n%s", typ, err, out)
			}
		}
		for i, w := range []*world{a, b} {
			p, err := w.c.PortByName(w.ctx, ds[i].Index, "tun0")
			if err != nil || p.Stats.RxPackets < 4 || p.Stats.TxPackets < 4 {
				t.Errorf("%s: %+v, %v", typ, p, err)
			}
			if err := errors.Join(w.c.FlushFlows(w.ctx, ds[i].Index), w.c.DeletePort(w.ctx, ds[i].Index, p.Number)); err != nil {
				t.Error(err)
			}
			w.IP("neigh flush dev in0")
		}
	}
}

// tunnel adds the port tun0 and the flows between it and port 1. They match
// nothing but the tunnel's key: all else is wildcarded.
func (w *world) tunnel(d odp.Datapath, typ odp.PortType, from, to netip.Addr) {
	w.t.Helper()
	p := w.port(d, typ, "tun0")
	in := odp.FlowRequest{Datapath: d.Index, Actions: []odp.Action{odp.Output(1)}}
	in.Match.Key = odp.FlowKey{Has: odp.HasInPort | odp.HasTunnel | odp.HasEthernet, InPort: p.Number,
		Tunnel: odp.Tunnel{HasID: true, ID: 77, Src: to, Dst: from, HasTTL: true, TTL: 64}}
	in.Match.Mask = odp.FlowKey{Has: odp.HasInPort | odp.HasTunnel, InPort: 0xffffffff, Tunnel: odp.Tunnel{HasID: true, ID: 1<<64 - 1}}
	out := odp.FlowRequest{Datapath: d.Index, Actions: []odp.Action{
		odp.SetTunnel(&odp.Tunnel{HasID: true, ID: 77, Src: from, Dst: to, HasTTL: true, TTL: 64}), odp.Output(p.Number)}}
	out.Match.Key = odp.FlowKey{Has: odp.HasInPort | odp.HasEthernet, InPort: 1}
	out.Match.Mask = odp.FlowKey{Has: odp.HasInPort, InPort: 0xffffffff}
	if err := errors.Join(w.c.PutFlows(w.ctx, []odp.FlowRequest{in, out})...); err != nil {
		w.t.Fatal(err)
	}
}

// TestKernelMany has several goroutines use one client while a watcher with a
// small buffer follows.
func TestKernelMany(t *testing.T) {
	vmtest.Require(t)
	w := newWorld(t)
	d := w.datapath("sw0")
	v, _ := w.watch(WatchOptions{Buffer: 64 << 10})
	var wg sync.WaitGroup
	began := time.Now()
	for g := range 4 {
		wg.Go(func() {
			for i := range 40 {
				r := odp.PortRequest{Datapath: d.Index, Name: fmt.Sprintf("i%d.%d", g, i), Set: odp.SetType, Type: odp.TypeInternal}
				p, err := w.c.AddPort(w.ctx, r)
				if err == nil && p.Name != r.Name {
					err = fmt.Errorf("asked for %s, got the answer about %s", r.Name, p.Name)
				}
				f := l2(d.Index, p.Number, 0, odp.MAC{2, 0, 0, 0, byte(g), byte(i)}, macB)
				err = errors.Join(err, w.c.PutFlow(w.ctx, f))
				if got, err2 := w.c.Flow(w.ctx, f); err2 != nil || got.Match.Key.EthSrc != f.Match.Key.EthSrc {
					err = errors.Join(err, err2, fmt.Errorf("flow of %s", got.Match.Key.EthSrc))
				}
				if i%3 == 0 {
					err = errors.Join(err, w.c.DeletePort(w.ctx, d.Index, p.Number))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("done in %v", time.Since(began))
	v.follows(w)
	if flows, err := w.c.Flows(w.ctx, d.Index); err != nil || len(flows) != 160 {
		t.Errorf("%d flows, %v", len(flows), err)
	}
	nstest.Eventually(t, time.Second, func() string {
		if n := len(w.ours()); n != 2+4*26 {
			return fmt.Sprintf("%d ports", n)
		}
		return ""
	})
}
