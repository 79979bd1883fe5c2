package kswitch

import (
	"bytes"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/l2"
)

// tap sends and receives whole frames at a station's device.
type tap struct {
	fd int
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func (s *station) tap(t testing.TB) *tap {
	t.Helper()
	c := &tap{}
	err := s.Do(func() error {
		dev, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
		if err != nil {
			return err
		}
		// Tags are in a side note of the kernel's otherwise.
		if err := unix.SetsockoptInt(c.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
			return err
		}
		_ = unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
		if err := unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 200000}); err != nil {
			return err
		}
		return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: dev.Index})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(c.fd) })
	return c
}

// testType is the EtherType of the frames of tests (IEEE 802, local
// experimental).
const testType = 0x88b5

// frameOf is a frame with tags, the outer first, and a number in it.
func frameOf(src, dst l2.MAC, tags []l2.Tag, number uint32) []byte {
	b := append(append([]byte{}, dst[:]...), src[:]...)
	for _, t := range tags {
		b = binary.BigEndian.AppendUint16(b, t.TPID)
		b = binary.BigEndian.AppendUint16(b, t.TCI&^l2.TCIPresent)
	}
	b = binary.BigEndian.AppendUint16(b, testType)
	b = binary.BigEndian.AppendUint32(b, number)
	return append(b, make([]byte, 60)...)
}

func (c *tap) send(t testing.TB, b []byte) {
	t.Helper()
	for {
		_, err := unix.Write(c.fd, b)
		if err == unix.ENOBUFS || err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// received is a frame of a test, with the tag that the kernel took off put back.
type received struct {
	src, dst l2.MAC
	tags     []l2.Tag
	number   uint32
}

// next gives the next frame of a test that this station did not send itself;
// false: none came for 200 ms.
func (c *tap) next() (r received, ok bool) {
	buf, oob := make([]byte, 4096), make([]byte, 256)
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		n, noob, _, from, err := unix.Recvmsg(c.fd, buf, oob, 0)
		if err != nil {
			return r, false
		}
		if ll, isLL := from.(*unix.SockaddrLinklayer); isLL && ll.Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if r, ok = parseFrame(buf[:n], oob[:noob]); ok {
			return r, true
		}
	}
	return r, false
}

func parseFrame(b, oob []byte) (r received, ok bool) {
	if len(b) < 18 {
		return r, false
	}
	copy(r.dst[:], b)
	copy(r.src[:], b[6:])
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return r, false
	}
	for _, m := range msgs { // struct tpacket_auxdata
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 20 {
			if status := ne.Uint32(m.Data); status&unix.TP_STATUS_VLAN_VALID != 0 {
				r.tags = append(r.tags, l2.Tag{TPID: ne.Uint16(m.Data[18:]), TCI: ne.Uint16(m.Data[16:]) | l2.TCIPresent})
			}
		}
	}
	b = b[12:]
	for len(b) >= 8 {
		typ := binary.BigEndian.Uint16(b)
		if typ == testType {
			r.number = binary.BigEndian.Uint32(b[2:])
			return r, true
		}
		if typ != 0x8100 && typ != 0x88a8 {
			return r, false
		}
		r.tags = append(r.tags, l2.Tag{TPID: typ, TCI: binary.BigEndian.Uint16(b[2:]) | l2.TCIPresent})
		b = b[4:]
	}
	return r, false
}

// count counts the test frames that arrive until stop is closed.
func (c *tap) count(stop chan struct{}) *atomic.Int64 {
	var n atomic.Int64
	go func() {
		buf := make([]byte, 4096)
		for {
			select {
			case <-stop:
				return
			default:
			}
			k, from, err := unix.Recvfrom(c.fd, buf, 0)
			if err != nil {
				continue
			}
			if ll, isLL := from.(*unix.SockaddrLinklayer); isLL && ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			if bytes.Contains(buf[12:min(k, 24)], []byte{0x88, 0xb5}) {
				n.Add(1)
			}
		}
	}()
	return &n
}

func mac(n uint32) l2.MAC {
	return l2.MAC{2, 0x10, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}

var broadcast = l2.MAC{255, 255, 255, 255, 255, 255}
