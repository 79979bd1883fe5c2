package vpptest

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netbraid/internal/recorded"
)

// line is one of a recorded exchange.
type line struct {
	T     int    `json:"t"`
	Dir   string `json:"dir"`
	Name  string `json:"name"`
	Hex   string `json:"hex"`
	Steps [][2]any
}

func readRecordingF(t testing.TB, name string) []line {
	return readRecording(t, "testdata/"+name+".jsonl.gz")
}

func readRecording(t testing.TB, file string) []line {
	t.Helper()
	list := slices.DeleteFunc(recorded.Values[line](t, file), func(l line) bool { return l.Dir == "" })
	if len(list) == 0 {
		t.Fatalf("%s has no message", file)
	}
	return list
}

// accepted are answers of VPP that this server does not give, each with its
// reason; by recording and line.
var accepted = map[string]map[int]string{
	"10d-order": {3: "VPP answers an index that a client has guessed before it has one"},
}

// skipped are messages that this server does not know, because the client never
// sends them: their answers are left out on both sides. So are VPP's own routes
// (ownRoute), and what differs from one VPP to the next (normal).
var skipped = []string{"sw_interface_tap_v2_d", "af_packet_d", "lcp_sync_unnumbered_"}

func isSkipped(name string) bool {
	if name == "af_packet_delete" || name == "af_packet_delete_reply" {
		return false
	}
	return slices.ContainsFunc(skipped, func(p string) bool { return strings.HasPrefix(name, p) })
}

// answers is what came back, made comparable.
type answers []string

// normal makes a message of VPP comparable: what differs from VPP to VPP is
// cleared. "" is left out.
func normal(name string, p []byte) string {
	p = slices.Clone(p)
	zero := func(at, n int) {
		if len(p) >= at+n {
			clear(p[at : at+n])
		}
	}
	switch name {
	case "sockclnt_create_reply":
		p = p[:20] // the table is the recorded one, see recordedTable
	case "control_ping_reply":
		zero(14, 4) // process
	case "sw_interface_event":
		p[17] &= 1 // whether the link bit comes along differs
		if len(p) > 18 {
			p[14], p[15], p[16] = 0, 0, 0
		}
	case "ip_neighbor_details":
		zero(6, 8) // age
	case "ip_route_add_del_reply", "ip_route_add_del_v2_reply", "mpls_route_add_del_reply", "ip_neighbor_add_del_reply":
		zero(10, 4) // a counter's index
	case "ip_route_details", "ip_route_v2_details":
		zero(10, 4)
	case "ip_route_lookup_reply", "ip_route_lookup_v2_reply":
		zero(14, 4)
	case "lcp_itf_pair_add_del_v3_reply":
		zero(10, 4) // ifindex
	case "lcp_itf_pair_details":
		zero(14, 4)
	case "lcp_itf_pair_get_reply":
		if binary.BigEndian.Uint32(p[6:]) == 0 && binary.BigEndian.Uint32(p[10:]) != none {
			zero(10, 4) // VPP's memory
		}
	}
	return fmt.Sprintf("%s %x", name, p)
}

// sortDetails puts what one dump shows in an order.
func (a answers) sortDetails() {
	key := func(s string) string {
		name, rest, _ := strings.Cut(s, " ")
		if !strings.HasSuffix(name, "_details") {
			return ""
		}
		return name + rest[4:12]
	}
	for i := 0; i < len(a); {
		j := i + 1
		for j < len(a) && key(a[i]) != "" && key(a[j]) == key(a[i]) {
			j++
		}
		slices.SortFunc(a[i:j], cmp.Compare[string])
		i = j
	}
}

// TestRecorded plays what a client has sent to a real VPP into this server, and
// holds its answers against VPP's.
func TestRecorded(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.jsonl.gz")
	if len(files) < 20 {
		t.Fatalf("only %d recordings", len(files))
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".jsonl.gz")
		t.Run(name, func(t *testing.T) { play(t, name, readRecording(t, f)) })
	}
}

func play(t *testing.T, name string, lines []line) {
	var failures []string
	o := Options{Lenient: true, NetNS: "dataplane", NoVLAN: true, Namespaces: []string{"dataplane", ""}, LinuxNL: true, Taps: 512, SourceDir: "/work/lab/vpp/src",
		Fail: func(format string, args ...any) { failures = append(failures, fmt.Sprintf(format, args...)) }}
	s := &Server{opt: o, numbers: map[string]uint16{}, conns: map[*conn]bool{}, byID: map[uint32]*conn{}, counts: map[string]int{}}
	s.number()
	s.st = newState(s)
	c := &conn{s: s}
	s.conns[c] = true
	if name == "02b-link-events" {
		s.AddPhy("memif5/0", [6]byte{2}, 9000)
		s.AddPhy("memif6/0", [6]byte{2}, 9000)
	}
	var want, got answers
	for _, l := range lines {
		frame, err := hex.DecodeString(l.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if l.Dir == "s2c" {
			number := binary.BigEndian.Uint16(frame[frameHeader:])
			n := s.names[number]
			if accepted[name][l.T] == "" && !isSkipped(n) && keepEvent(name, l.T) && !ownRoute(n, frame[frameHeader:]) {
				want = append(want, normal(n, frame[frameHeader:]))
			}
			continue
		}
		if s.st.dead {
			t.Errorf("line %d is sent to a VPP that is dead", l.T)
			break
		}
		used, _ := c.serve(frame)
		if used != len(frame) && name != "10c-partial" {
			t.Fatalf("line %d: %d of %d octets used", l.T, used, len(frame))
		}
		for out := c.out; len(out) > 0; {
			end := frameHeader + int(binary.BigEndian.Uint32(out[8:]))
			n := s.names[binary.BigEndian.Uint16(out[frameHeader:])]
			if !isSkipped(n) && !ownRoute(n, out[frameHeader:end]) {
				got = append(got, normal(n, out[frameHeader:end]))
			}
			out = out[end:]
		}
		c.out = c.out[:0]
	}
	if died := strings.HasPrefix(name, "10f-crash"); died != (len(failures) > 0) || died != s.st.dead {
		t.Errorf("reported: %q", failures)
	}
	want.sortDetails()
	got.sortDetails()
	differ := 0
	for i := range max(len(want), len(got)) {
		w, g := "nothing", "nothing"
		if i < len(want) {
			w = want[i]
		}
		if i < len(got) {
			g = got[i]
		}
		if w != g {
			t.Errorf("answer %d is\n%s\nVPP's is\n%s", i, g, w)
			if differ++; differ > 3 {
				break
			}
		}
	}
}

// keepEvent leaves out events that VPP's command line has caused, not a client.
func keepEvent(name string, t int) bool { return name != "02b-link-events" || t < 11 || t > 19 }

// ownRoute tells whether a route is VPP's own (of recursion, of neighbours, of
// the protocol): only those of interfaces, of the API and of clients are kept
// here. The first version of the dump has no source: prefixes tell.
func ownRoute(name string, p []byte) bool {
	const at = 2 + 4
	switch name {
	case "ip_route_v2_details":
		src := p[at+27]
		return src != srcInterface && src != srcAPI && src < 25
	case "ip_route_details":
		return true // the second version shows the same, with sources
	}
	return false
}
