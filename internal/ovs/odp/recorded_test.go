package odp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"maps"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/recorded"
)

// exchange is a message that was recorded on Linux 6.12.
type exchange struct {
	File, Dir, Cmd, Hex, Note string
	msg                       []byte
	typ, flags                uint16
	body                      []byte // nil for acknowledgements and the like
}

func exchanges(t testing.TB) []exchange {
	t.Helper()
	list := recorded.Values[exchange](t, "testdata/exchanges.jsonl.gz")
	for i := range list {
		x := &list[i]
		var err error
		if x.msg, err = hex.DecodeString(x.Hex); err != nil || len(x.msg) < unix.SizeofNlMsghdr {
			t.Fatalf("%s: %v", x.Hex, err)
		}
		x.typ, x.flags = ne.Uint16(x.msg[4:]), ne.Uint16(x.msg[6:])
		if x.typ >= unix.NLMSG_MIN_TYPE {
			x.body = x.msg[unix.SizeofNlMsghdr:ne.Uint32(x.msg)]
		}
	}
	if len(list) < 1000 {
		t.Fatalf("%d exchanges", len(list))
	}
	return list
}

// TestRecordedAnswers reads everything that the kernel has said and holds a
// value of each kind against what was done then.
func TestRecordedAnswers(t *testing.T) {
	counts := map[string]int{}
	for _, x := range exchanges(t) {
		if x.Dir != "recv" || x.body == nil {
			continue
		}
		family := x.Cmd[:strings.LastIndexByte(x.Cmd, '_')]
		counts[family]++
		var err error
		switch family {
		case FamilyDatapath:
			var d Datapath
			if d, err = ParseDatapath(x.body); err == nil && (d.Index == 0 || d.Name == "") {
				t.Errorf("%s: %+v", x.Hex, d)
			}
		case FamilyVport:
			var p Port
			if p, err = ParsePort(x.body); err == nil && (p.Datapath == 0 || p.Name == "" || p.Type == 0 || p.Ifindex == 0 || len(p.PIDs) == 0) {
				t.Errorf("%s: %+v", x.Hex, p)
			}
		case FamilyFlow:
			var f Flow
			if f, err = ParseFlow(x.body); err == nil && f.Match.Key.Has&HasEthernet == 0 && f.UFID == "" {
				t.Errorf("%s: %+v", x.Hex, f)
			}
		case FamilyPacket:
			var u Upcall
			if err = u.Parse(x.body); err == nil {
				checkUpcall(t, &u, x.Hex)
			}
		case "nlctrl":
			var f Family
			if f, err = ParseFamily(x.body); err == nil && (f.ID == 0 || f.Group == 0 && f.Name != FamilyPacket || f.Name == FamilyDatapath && f.Version != 2) {
				t.Errorf("%s: %+v", x.Hex, f)
			}
		default:
			t.Errorf("family %q", family)
		}
		if err != nil {
			t.Errorf("%s %s: %v", x.Cmd, x.Hex, err)
		}
	}
	want := map[string]int{FamilyDatapath: 28, FamilyVport: 97, FamilyFlow: 73, FamilyPacket: 38, "nlctrl": 6}
	for family, n := range want {
		if counts[family] < n/2 {
			t.Errorf("%d messages of %s were read", counts[family], family)
		}
	}
}

// checkUpcall holds the key against the packet that it describes.
func checkUpcall(t *testing.T, u *Upcall, hex string) {
	k := &u.Key
	if k.Has&HasInPort == 0 || k.Has&HasEthernet == 0 || len(u.Packet) < 14 {
		t.Errorf("%s: %+v", hex, u)
		return
	}
	if k.EthDst != MAC(u.Packet) || k.EthSrc != MAC(u.Packet[6:]) {
		t.Errorf("%s: key says %s → %s", hex, k.EthSrc, k.EthDst)
	}
	typ := k.EtherType
	if k.IsTagged() {
		typ = k.VLAN.Type
	}
	if got := be.Uint16(u.Packet[12:]); got != typ {
		t.Errorf("%s: key says type %04x, the packet %04x", hex, typ, got)
	}
}

// TestRecordedKeys holds that each key of the kernel is written again as it
// was, octet for octet.
func TestRecordedKeys(t *testing.T) {
	n := 0
	for _, x := range exchanges(t) {
		if x.Dir != "recv" || x.body == nil || !strings.HasPrefix(x.Cmd, FamilyFlow) && !strings.HasPrefix(x.Cmd, FamilyPacket) {
			continue
		}
		_, attrs, err := ParseHeader(x.body)
		if err != nil {
			t.Fatal(err)
		}
		c := attributes(attrs)
		for c.Next() {
			isKey := c.Type == flowKey || c.Type == flowMask
			if strings.HasPrefix(x.Cmd, FamilyPacket) {
				isKey = c.Type == packetKey
			}
			if isKey {
				n++
				k, err := ParseKey(c.Val)
				if err != nil {
					t.Fatalf("%x: %v", c.Val, err)
				}
				if got := AppendKey(nil, &k); !bytes.Equal(got, c.Val) {
					t.Errorf("%s: key\n%x is written as\n%x", x.Cmd, c.Val, got)
				}
				if k.Meta != "" || k.Inner != "" {
					t.Errorf("%x: not taken apart: %x %x", c.Val, k.Meta, k.Inner)
				}
			}
		}
	}
	if n < 100 {
		t.Errorf("%d keys", n)
	}
}

// notOurs are the recorded requests, by file and sequence number, that this
// package does not send so, and why.
var notOurs = map[string]string{
	"errors 0x7a": "an empty name",
	"errors 0xac": "an empty name",
	"errors 0x7d": "an attribute that nobody knows",
	"errors 0xd1": "netlink ports of three octets",
	"errors 0xd7": "an octet left over",
	"errors 0xd9": "version 1 of ovs_datapath",
	"flow 0x85":   "an empty key",
	"flow 0xa3":   "another order of the key",
	"flow 0xb3":   "another order of the key",
	"flow 0xa9":   "in_port twice",
	"flow 0xaf":   "Ethernet addresses of 11 octets",
	"flow 0xc9":   "no actions",
	"flow 0xdf":   "upcall without a netlink port",
	"flow 0x10c":  "dump with a UFID",
	"flow 0x10f":  "another order of the attributes",
	"flow 0x111":  "an empty UFID",
	"packet 0x6f": "no packet",
	"packet 0x70": "no key",
	"packet 0x71": "no actions",
	"unpriv 0x6e": "nothing at all",
}

// TestRecordedRequests builds the recorded requests anew and holds that they
// are the same octets.
func TestRecordedRequests(t *testing.T) {
	same, left := 0, maps.Clone(notOurs)
	for _, x := range exchanges(t) {
		if x.Dir != "send" || strings.HasPrefix(x.Cmd, "nlctrl") {
			continue
		}
		got := rebuild(t, &x)
		copy(got[8:], x.msg[8:16]) // sequence number and sender
		name := fmt.Sprintf("%s %#x", x.File, ne.Uint32(x.msg[8:]))
		switch equal, why := bytes.Equal(got, x.msg), notOurs[name]; {
		case equal && why == "":
			same++
		case equal:
			t.Errorf("%s is the same, though it should not be: %s", name, why)
		case why != "":
			delete(left, name)
		default:
			t.Errorf("%s %s\nrecorded %x\nrebuilt  %x", name, x.Cmd, x.msg, got)
		}
	}
	if len(left) > 0 || same < 391 {
		t.Errorf("%d are the same, not met: %v", same, left)
	}
}

func rebuild(t *testing.T, x *exchange) []byte {
	t.Helper()
	h, attrs, err := ParseHeader(x.body)
	if err != nil {
		t.Fatal(err)
	}
	flags := x.flags &^ unix.NLM_F_REQUEST
	if x.flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP && h.Cmd == CmdGet {
		family := x.Cmd[:strings.LastIndexByte(x.Cmd, '_')]
		return AppendDump(nil, x.typ, family, h.Datapath)
	}
	var there [32]bool
	c := attributes(attrs)
	for c.Next() {
		if int(c.Type) < len(there) {
			there[c.Type] = true
		}
	}
	switch x.Cmd[:strings.LastIndexByte(x.Cmd, '_')] {
	case FamilyDatapath:
		return rebuildDatapath(x, h, attrs, there, flags)
	case FamilyVport:
		p, _ := ParsePort(x.body)
		r := PortRequest{Datapath: h.Datapath, Number: p.Number, Type: p.Type, Name: p.Name, Options: p.Options, PIDs: p.PIDs, Stats: p.Stats}
		for typ, f := range map[int]PortFields{portNumber: SetNumber, portType: SetType, portOptions: SetOptions, portUpcallPID: SetPIDs, portStats: SetStats} {
			if there[typ] {
				r.Set |= f
			}
		}
		return AppendPort(nil, x.typ, h.Cmd, flags, &r)
	case FamilyFlow:
		f, _ := ParseFlow(x.body)
		if h.Cmd == CmdDel && len(attrs) == 0 {
			return AppendFlush(nil, x.typ, flags, h.Datapath)
		}
		r := FlowRequest{Datapath: h.Datapath, Match: f.Match, Actions: f.Actions, KeepActions: !there[flowActions], UFID: f.UFID,
			Clear: there[flowClear], Probe: there[flowProbe]}
		return AppendFlow(nil, x.typ, h.Cmd, flags, &r)
	case FamilyPacket:
		var u Upcall
		if err := u.Parse(x.body); err != nil {
			t.Fatal(err)
		}
		actions, err := ParseActions(u.Actions)
		if err != nil {
			t.Fatal(err)
		}
		return AppendExecute(nil, x.typ, flags, &ExecuteRequest{Datapath: h.Datapath, Packet: u.Packet, RawKey: u.RawKey, Actions: actions, Hash: u.Hash, MRU: u.MRU, Probe: there[packetProbe]})
	}
	t.Fatalf("request %s", x.Cmd)
	return nil
}

func rebuildDatapath(x *exchange, h Header, attrs []byte, there [32]bool, flags uint16) []byte {
	d, _ := ParseDatapath(x.body)
	r := DatapathRequest{Index: h.Datapath, Name: d.Name, Features: d.Features, MasksCache: d.MasksCache, PerCPU: d.PerCPU}
	for typ, f := range map[int]DatapathFields{dpUpcallPID: SetUpcallPID, dpFeatures: SetFeatures, dpMasksCache: SetMasksCache, dpPerCPUPIDs: SetPerCPU, dpIfindex: SetIfindex} {
		if there[typ] {
			r.Set |= f
		}
	}
	c := attributes(attrs)
	for c.Next() {
		if c.Type == dpUpcallPID {
			r.UpcallPID = c.U32()
		}
	}
	return AppendDatapath(nil, x.typ, h.Cmd, flags, &r)
}
