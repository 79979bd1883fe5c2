package config

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// The types of a dataplane.
const (
	VPP   = "vpp"
	NetNS = "netns"
)

// Defaults of a `config dataplane` section.
const (
	DefaultVPPSocket = "/run/vpp/api.sock"
	DefaultWindow    = 1024
)

// Dataplane is a `config dataplane` section: what forwards packets for pairs.
type Dataplane struct {
	Name string
	Pos  Pos
	Type string // VPP or NetNS
	// Socket is the path of VPP's binary API; only with type VPP.
	Socket string
	// NetNS is the file of the forwarding namespace; only with type NetNS.
	NetNS string
	// SkipProtos are route protocols (RTPROT_*) that are not mirrored, besides
	// those that never are; sorted, none twice.
	SkipProtos []uint8
	// Tables say which FIB a namespace's main table goes to, where it is not 0;
	// sorted by namespace, none twice.
	Tables []NetNSTable
	// Punt are frames besides IP and ARP that go to companions: by EtherType
	// (from 0x600), or by protocol of OSI (NLPID, below 0x100); sorted, none
	// twice. Only with type VPP.
	Punt []uint16
	// Window is how many operations may be in flight, 64..65536.
	Window int
}

// Place is where the dataplane is: the socket or the namespace.
func (d *Dataplane) Place() string { return d.Socket + d.NetNS }

// NetNSTable is a FIB for a namespace's main table.
type NetNSTable struct {
	NetNS string // its file; "" for the daemon's own
	FIB   uint32
}

func setDataplane(put func(d *Dataplane, v value)) func(*target, value) {
	return func(t *target, v value) { put(t.dataplane, v) }
}

const (
	allowSocket  = "an absolute path of at most 107 octets"
	allowFIB     = "NETNS FIB, or FIB alone for the daemon's own namespace; FIB 0..4294967294"
	allowPunt    = "lldp, lacp, isis, an EtherType 0x600..0xffff"
	allowPerType = "with type vpp: socket, punt; with type netns: netns"
)

var dataplaneOptions = newGroup("dataplane", "A `config dataplane` section: what forwards packets in place of the kernel's own namespace. Its name is what pairs call it; one without a name is called by its type.",
	spec{name: "type", kind: word, words: []choice{{VPP, 0}, {NetNS, 0}}, def: "required", meaning: "VPP over its binary API, or another network namespace, in which the kernel forwards", set: setDataplane(func(d *Dataplane, v value) { d.Type = v.s })},
	spec{name: "socket", kind: text, allow: allowSocket, def: DefaultVPPSocket, meaning: "type vpp: socket of the binary API", set: func(t *target, v value) {
		if !strings.HasPrefix(v.s, "/") || len(v.s) > 107 || strings.ContainsFunc(v.s, control) {
			t.p.invalid(t.sec, v.opt, "", "not the path of a socket", allowSocket)
		}
		t.dataplane.Socket = path.Clean(v.s)
	}},
	spec{name: "netns", kind: text, allow: allowNetNS, def: "required", meaning: "type netns: the namespace that forwards", set: func(t *target, v value) { t.p.netns(t, &v, &t.dataplane.NetNS) }},
	spec{name: "skip_proto", kind: list, allow: allowProto, def: "none", meaning: "protocols of routes that are not mirrored, besides those that never are: connected routes of the kernel, local, broadcast, multicast and link-local ones",
		set: func(t *target, v value) { t.p.skipProtos(t, &v) }},
	spec{name: "netns_table", kind: list, allow: allowFIB, def: "0", meaning: "FIB that the main table of a namespace goes to", set: func(t *target, v value) { t.p.netnsTables(t, &v) }},
	spec{name: "punt", kind: list, allow: allowPunt, def: "none", meaning: "type vpp: frames that go to companions besides IP and ARP; what is left out goes to them until VPP starts again", set: func(t *target, v value) { t.p.punt(t, &v) }},
	spec{name: "window", kind: number, min: 64, max: 65536, def: "1024", meaning: "operations in flight at most", set: setDataplane(func(d *Dataplane, v value) { d.Window = int(v.n) })},
	spec{name: "enabled", kind: yesno, def: "1", meaning: "0: leave the section out, and its pairs with it"},
)

func control(r rune) bool { return r < ' ' || r == 0x7f }

// netnsPath gives the file of a namespace: a name below /run/netns or a path.
func netnsPath(s string) (file string, ok bool) {
	switch {
	case strings.HasPrefix(s, "/") && path.Clean(s) == s && !strings.ContainsFunc(s, control):
		if below, ok := strings.CutPrefix(s, "/var/run/"); ok {
			s = "/run/" + below // one name for one file
		}
		return s, true
	case s != "" && !strings.HasPrefix(s, ".") && !strings.ContainsFunc(s, notInName):
		return netnsDir + "/" + s, true
	}
	return "", false
}

// netns takes an option that names a namespace.
func (p *parser) netns(t *target, v *value, into *string) {
	file, ok := netnsPath(v.s)
	if !ok {
		p.invalid(t.sec, v.opt, "", "not a network namespace", allowNetNS)
	}
	*into = file
}

// skipProtos takes the route protocols that are not mirrored.
func (p *parser) skipProtos(t *target, v *value) {
	d := t.dataplane
	for i, word := range v.l {
		n, ok := p.opts.routeProto(word)
		if !ok {
			p.invalidValue(t.sec, v.opt, i, word, "", "not a protocol of routes", allowProto)
			continue
		}
		d.SkipProtos = append(d.SkipProtos, n)
	}
	slices.Sort(d.SkipProtos)
	d.SkipProtos = slices.Compact(d.SkipProtos)
}

// puntNames are the frames that have names. IS-IS has no EtherType, but a
// protocol of OSI (ISO/IEC TR 9577).
var puntNames = map[string]uint16{"lldp": 0x88cc, "lacp": 0x8809, "isis": 0x83}

// PuntName is what option punt calls a type of frames.
func PuntName(n uint16) string {
	for _, name := range slices.Sorted(maps.Keys(puntNames)) {
		if puntNames[name] == n {
			return name
		}
	}
	return fmt.Sprintf("%#x", n)
}

// punt takes the frames that go to companions.
func (p *parser) punt(t *target, v *value) {
	d := t.dataplane
	for i, word := range v.l {
		n, ok := puntNames[strings.ToLower(word)]
		if !ok {
			x, err := strconv.ParseUint(word, 0, 16)
			if n = uint16(x); err != nil || n < 0x600 {
				p.invalidValue(t.sec, v.opt, i, word, "", "not a type of frames", allowPunt)
				continue
			}
		}
		d.Punt = append(d.Punt, n)
	}
	slices.Sort(d.Punt)
	d.Punt = slices.Compact(d.Punt)
}

// netnsTables takes the FIBs of namespaces.
func (p *parser) netnsTables(t *target, v *value) {
	d := t.dataplane
	seen := map[string]bool{}
	for i, text := range v.opt.Values {
		f := strings.Fields(text)
		var e NetNSTable
		ok := len(f) == 1 || len(f) == 2
		if len(f) == 2 {
			e.NetNS, ok = netnsPath(f[0])
		}
		var fib int64
		if ok {
			fib, ok = parseInt(f[len(f)-1])
		}
		switch e.FIB = uint32(fib); {
		case !ok || fib < 0 || fib >= maxUint32:
			p.invalidValue(t.sec, v.opt, i, text, "", "not a FIB of a namespace", allowFIB)
			continue
		case seen[e.NetNS]:
			p.invalidValue(t.sec, v.opt, i, text, "", "this namespace has a FIB already", "one FIB for each namespace")
			continue
		}
		seen[e.NetNS] = true
		if e.FIB != 0 {
			d.Tables = append(d.Tables, e)
		}
	}
	slices.SortFunc(d.Tables, func(a, b NetNSTable) int { return strings.Compare(a.NetNS, b.NetNS) })
}

// FIB gives the FIB that the main table of a namespace goes to.
func (d *Dataplane) FIB(netns string) uint32 {
	for _, t := range d.Tables {
		if t.NetNS == netns {
			return t.FIB
		}
	}
	return 0
}

// dataplaneSection reads a `config dataplane` section.
func (p *parser) dataplaneSection(s *section) {
	d := &Dataplane{Name: s.name, Pos: p.at(s.line), Window: DefaultWindow}
	if s.anonymous {
		d.Name = cmp.Or(s.first("type"), s.name)
		s.title = "dataplane " + d.Name
	}
	if other := p.planeSec[d.Name]; other != nil {
		p.wrong(s, p.contradicts(other), "a name of its own for each dataplane")
		return
	}
	p.planeSec[d.Name] = s
	if on, ok := parseBool(s.first("enabled")); ok && !on {
		p.planeOff[d.Name] = true
		return
	}
	before := len(p.problems)
	p.apply(&target{p: p, sec: s, dataplane: d}, func(o *option) { p.unknown(s, o) }, dataplaneOptions)
	p.ofType(s, d)
	for _, other := range p.cfg.Dataplanes {
		if d.Type == other.Type && d.Socket == other.Socket && d.NetNS == other.NetNS {
			p.wrong(s, p.contradicts(p.planeSec[other.Name])+": the same dataplane", "one section for each dataplane")
		}
	}
	if !HasErrors(p.problems[before:]) {
		p.cfg.Dataplanes = append(p.cfg.Dataplanes, d)
	}
}

// ofType checks the options that belong to one type, and fills in its default.
func (p *parser) ofType(s *section, d *Dataplane) {
	other := map[string]string{VPP: "netns", NetNS: "socket"}[d.Type]
	if o := s.find(other); o != nil {
		p.invalid(s, o, "", "not an option of a dataplane of type "+d.Type, allowPerType)
	}
	if o := s.find("punt"); o != nil && d.Type == NetNS {
		p.invalid(s, o, "", "not an option of a dataplane of type netns", allowPerType)
	}
	switch {
	case s.find("type") == nil:
		p.wrong(s, "a dataplane needs option type", "vpp, netns")
	case d.Type == VPP && s.find("socket") == nil:
		d.Socket = DefaultVPPSocket
	case d.Type == NetNS && s.find("netns") == nil:
		p.wrong(s, "a dataplane of type netns needs option netns", allowNetNS)
	}
}

// diffDataplane: another connection is another dataplane.
func diffDataplane(a, b *Dataplane) Verdict {
	switch {
	case a.Type != b.Type, a.Socket != b.Socket, a.NetNS != b.NetNS, a.Window != b.Window, !slices.Equal(a.Punt, b.Punt):
		return Recreate
	case !slices.Equal(a.SkipProtos, b.SkipProtos), !slices.Equal(a.Tables, b.Tables):
		return Live
	}
	return Keep
}
