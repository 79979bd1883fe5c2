package netns

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
)

// wire is a packet socket of a host.
type wire struct {
	fd, index int
	t         *testing.T
}

func openWire(t *testing.T, ns *nstest.NS, dev string, proto uint16) *wire {
	t.Helper()
	w := &wire{t: t}
	err := ns.Do(func() error {
		ifi, err := net.InterfaceByName(dev)
		if err != nil {
			return err
		}
		be := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, proto))
		w.index = ifi.Index
		if w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(be)); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrLinklayer{Protocol: be, Ifindex: ifi.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *wire) send(frame []byte) {
	w.t.Helper()
	if err := unix.Sendto(w.fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.index}); err != nil {
		w.t.Fatal(err)
	}
}

// count counts the frames that come within d and that f wants.
func (w *wire) count(d time.Duration, f func([]byte) bool) (n int) {
	buf := make([]byte, 2048)
	for end := time.Now().Add(d); ; {
		left := time.Until(end)
		if left <= 0 {
			return n
		}
		tv := unix.NsecToTimeval(int64(left))
		_ = unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
		k, _, err := unix.Recvfrom(w.fd, buf, 0)
		if err == nil && f(buf[:k]) {
			n++
		}
	}
}

// arp is a frame with an ARP message (RFC 826).
func arp(op uint16, to, from [6]byte, sender, target string) []byte {
	b := append(append([]byte{}, to[:]...), from[:]...)
	b = append(b, 8, 6, 0, 1, 8, 0, 6, 4, byte(op>>8), byte(op))
	b = append(append(b, from[:]...), netip.MustParseAddr(sender).AsSlice()...)
	b = append(append(b, make([]byte, 6)...), netip.MustParseAddr(target).AsSlice()...)
	return b
}

var broadcast = [6]byte{255, 255, 255, 255, 255, 255}

// TestOneARPReply: who asks for the router's address gets one reply, with the
// address that phy and companion share.
func TestOneARPReply(t *testing.T) {
	l := newLab(t)
	w := openWire(t, l.a, "eth0", unix.ETH_P_ARP)
	ours, router := l.mac(l.a, "eth0"), l.mac(l.fwd, "phya")
	if router != l.mac(l.ctl, "hosta") {
		t.Fatalf("phy and companion differ: %v", router)
	}
	w.send(arp(1, broadcast, [6]byte(ours.B[:6]), netA4+"2", netA4+"1"))
	replies := w.count(500*time.Millisecond, func(b []byte) bool {
		return len(b) >= 42 && binary.BigEndian.Uint16(b[20:]) == 2 && bytes.Equal(b[22:28], router.B[:6])
	})
	if replies != 1 {
		t.Errorf("%d replies to one request", replies)
	}
}

// TestOneNeighbourAdvertisement is the same for IPv6, and the router flag is
// set.
func TestOneNeighbourAdvertisement(t *testing.T) {
	l := newLab(t)
	w := openWire(t, l.a, "eth0", unix.ETH_P_IPV6)
	l.a.IP("neigh flush dev eth0")
	go func() { _, _ = l.a.Try("ping", "-n", "-c", "1", "-W", "2", netA6+"1") }()
	target := netip.MustParseAddr(netA6 + "1").AsSlice()
	var flags byte
	n := w.count(time.Second, func(b []byte) bool {
		na := len(b) >= 78 && b[20] == 58 && b[54] == icmp6NeighbourAdvert && bytes.Equal(b[62:78], target)
		if na {
			flags = b[58]
		}
		return na
	})
	if n != 1 || flags&0x80 == 0 {
		t.Errorf("%d advertisements, flags %#x; want one, with the router flag (0x80)", n, flags)
	}
}

// TestGratuitousARP: a host that moves is known to both the forwarding namespace
// and the companion's.
func TestGratuitousARP(t *testing.T) {
	l := newLab(t)
	expect(t, l.a, netB4+"2", "ttl=63")
	expect(t, l.ctl, netB4+"2", "ttl=64")
	moved := [6]byte{2, 0, 0, 0, 0, 0x42}
	l.b.IP("link set eth0 address 02:00:00:00:00:42")
	openWire(t, l.b, "eth0", unix.ETH_P_ARP).send(arp(1, broadcast, moved, netB4+"2", netB4+"2"))
	nstest.Eventually(t, 5*time.Second, func() string {
		fwd, ctl := neigh(l.fwd, "phyb", netB4+"2"), neigh(l.ctl, "hostb", netB4+"2")
		if fwd != "02:00:00:00:00:42" || ctl != fwd {
			return "forwarding namespace has " + fwd + ", companion's " + ctl
		}
		return ""
	})
	expect(t, l.a, netB4+"2", "ttl=63")
}
