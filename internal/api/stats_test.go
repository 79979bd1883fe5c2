package api

import (
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
)

// statsMessage is an RTM_NEWSTATS with counters 100, 101, … of a link.
func statsMessage(index uint32, attrs ...[]byte) []byte {
	b := make([]byte, unix.SizeofNlMsghdr+statsHeader)
	binary.NativeEndian.PutUint16(b[4:], unix.RTM_NEWSTATS)
	binary.NativeEndian.PutUint32(b[unix.SizeofNlMsghdr+4:], index)
	for _, a := range attrs {
		b = append(b, a...)
	}
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

func attr(typ uint16, n int) []byte {
	b := make([]byte, unix.SizeofRtAttr+n)
	binary.NativeEndian.PutUint16(b, uint16(len(b)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	for i := 0; i+8 <= n; i += 8 {
		binary.NativeEndian.PutUint64(b[unix.SizeofRtAttr+i:], 100+uint64(i/8))
	}
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

const fullStats = 25 * 8 // rx_nohandler and rx_otherhost_dropped besides

func TestStats(t *testing.T) {
	b := append(statsMessage(7, attr(9, 3), attr(statsLink64, fullStats)), statsMessage(8, attr(statsLink64, 8))...)
	out := map[uint32]*Stats{}
	if err := decodeStats(b, out); err != nil {
		t.Fatal(err)
	}
	if len(out) != 1 || out[7] == nil {
		t.Fatalf("counters of %d links, want those of link 7: %v", len(out), out)
	}
	// The numbers are the places in struct rtnl_link_stats64.
	want := `{"collisions":109,"rx_frame_errors":113,"tx_compressed":122,"multicast":108,"rx_length_errors":110,"tx_dropped":107,` +
		`"rx_bytes":102,"rx_missed_errors":115,"tx_errors":105,"rx_compressed":121,"rx_over_errors":111,"tx_fifo_errors":118,` +
		`"rx_crc_errors":112,"rx_packets":100,"tx_heartbeat_errors":119,"rx_dropped":106,"tx_aborted_errors":116,"tx_packets":101,` +
		`"rx_errors":104,"tx_bytes":103,"tx_window_errors":120,"rx_fifo_errors":114,"tx_carrier_errors":117}`
	if got := text(out[7].fields()); got != want {
		t.Errorf("fields:\n%s\nwant\n%s", got, want)
	}
	if err := decodeStats(b[:len(b)-1], out); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message cut short: error %v", err)
	}
}

func FuzzStats(f *testing.F) {
	f.Add(statsMessage(7, attr(statsLink64, fullStats)))
	f.Add(statsMessage(7, attr(statsLink64, 8), attr(2, 1)))
	f.Add(statsMessage(7, []byte{3, 0, 1, 0}))
	f.Add(statsMessage(7, []byte{200, 0, 1, 0}))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		out := map[uint32]*Stats{}
		err := decodeStats(b, out)
		if len(out)*len(Stats{})*8 > len(b) {
			t.Errorf("%d links from %d octets (error %v)", len(out), len(b), err)
		}
	})
}

// TestReadKernel reads a link in a namespace of its own and compares with what
// ip and /proc of that namespace say.
func TestReadKernel(t *testing.T) {
	ns, far := nstest.New(t), nstest.New(t)
	ns.Veth("v0", "v1", far)
	ns.IP("link set v0 up")
	ns.IP("addr add 192.0.2.1/24 dev v0")
	far.IP("addr add 192.0.2.2/24 dev v1")
	ns.Run("sysctl -qw net.ipv4.conf.v0.rp_filter=2")
	ns.IP("link add name b0 type bridge")
	type counters struct {
		Index uint32
		RX    map[string]float64
	}
	look := func() (c counters) {
		l := ns.JSON("-s link show dev v0")[0]
		c.Index = uint32(l["ifindex"].(float64))
		c.RX = map[string]float64{}
		for k, v := range l["stats64"].(map[string]any)["rx"].(map[string]any) {
			c.RX[k] = v.(float64)
		}
		return c
	}
	far.Run("ping -c 3 -i 0.01 -W 2 192.0.2.1")
	before := look()
	snaps := []DeviceSnapshot{{Name: "v0", Present: true, Up: true, HasLink: true}, {Name: "gone", Present: true, Up: true, HasLink: true}, {Name: "b0"}}
	snaps[0].Link.Index, snaps[1].Link.Index = before.Index, 9999
	r := &reader{nsfd: ns.FD()}
	live, err := r.read(snaps)
	after := look()
	if err != nil {
		t.Fatal(err)
	}
	v0 := live[0]
	if v0.Stats == nil || v0.Stats[2] < uint64(before.RX["bytes"]) || v0.Stats[2] > uint64(after.RX["bytes"]) || v0.Stats[2] < 3*98 {
		t.Errorf("rx_bytes %v, want %v to %v", v0.Stats, before.RX["bytes"], after.RX["bytes"])
	}
	if v0.Sysctl["rpfilter"] != 2 || v0.Sysctl["mtu6"] != 1500 {
		t.Errorf("sysctls %v", v0.Sysctl)
	}
	if len(v0.Sysctl) < len(sysctlFields)-1 { // seg6_enabled may be missing
		t.Errorf("only %d of %d sysctls: %v", len(v0.Sysctl), len(sysctlFields), v0.Sysctl)
	}
	if v0.Settings == nil || v0.Settings.Speed != 10000 || v0.Settings.Half || len(v0.Settings.names) < 40 || !v0.HasGRO {
		t.Errorf("ethtool: %+v, GRO %v", v0.Settings, v0.HasGRO)
	}
	if r.offload < 1 {
		t.Errorf("hw-tc-offload is feature %d", r.offload)
	}
	if g := live[1]; g.Settings != nil || g.Stats != nil || len(g.Sysctl) != 0 || g.HasGRO {
		t.Errorf("a link that has gone: %+v", g)
	}
	if b := live[2]; b.Settings != nil || b.Stats != nil || b.Sysctl != nil {
		t.Errorf("a device without a link: %+v", b)
	}
}
