package dryrun

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/dataplane"
	"netbraid/internal/pair"
	"netbraid/rtnl"
)

// Planes are what is to be compared of dataplanes.
type Planes struct {
	// Old is the configuration in force, nil for none; New the one that is to be.
	// Both have the pairs added at run time.
	Old, New *config.Config
	// Made is what has been made on each dataplane (core.SaveMade).
	Made map[string][]pair.Made
	// Look says what a dataplane has, without changing it.
	Look func(*config.Dataplane) (dataplane.Seen, error)
}

// Does is what becomes of a dataplane or a pair.
type Does string

// What becomes of them.
const (
	Connect Does = "connect"
	Leave   Does = "leave" // its pairs are taken apart
	Change  Does = "change"
	Make    Does = "make"
	Remake  Does = "make again" // the companion is deleted and made again
	Apart   Does = "take apart"
	Forget  Does = "forget" // others have made it: it stays as it is
	Refuse  Does = "refuse" // nothing is done, because it would not be what is wanted
)

// Attr is an option that changes.
type Attr struct{ Name, From, To string }

// PlaneChange is what becomes of a dataplane.
type PlaneChange struct {
	Name, Type, Place string
	Does              Does // "": nothing but what there is of Pairs
	// Unreachable says why the dataplane could not be looked at: then Pairs are
	// what the two configurations say, and what was written down.
	Unreachable string
	Attrs       []Attr
	Pairs       []PairChange
}

// PairChange is what becomes of a pair.
type PairChange struct {
	Name, Phy, Host, NetNS string // Name is empty for a pair that is known by what was made
	Does                   Does
	Attrs                  []Attr
	Reason                 string // more about it; of Refuse: why
}

// None tells that nothing is to be done.
func (c *PlaneChange) None() bool { return c.Does == "" && len(c.Attrs)+len(c.Pairs) == 0 }

// Compare gives what becomes of dataplanes and their pairs: those of the new
// configuration in its order, then those that are left. One with nothing to do
// is among them only when it could not be looked at.
func (p *Planes) Compare() (out []PlaneChange) {
	if p.Old == nil {
		p.Old = &config.Config{}
	}
	for _, d := range p.New.Dataplanes {
		if c := p.plane(d); !c.None() || c.Unreachable != "" {
			out = append(out, c)
		}
	}
	var gone []*config.Dataplane
	for _, d := range p.Old.Dataplanes {
		if samePlace(p.New.Dataplanes, d) == nil {
			gone = append(gone, d)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Made)) {
		if d, ok := core.ParseMadeKey(key); ok && samePlace(p.New.Dataplanes, d) == nil && samePlace(gone, d) == nil {
			gone = append(gone, d)
		}
	}
	for _, d := range gone {
		if c := p.left(d); !c.None() || c.Unreachable != "" {
			out = append(out, c)
		}
	}
	return out
}

// samePlace finds the section that means a dataplane, whatever its name.
func samePlace(list []*config.Dataplane, d *config.Dataplane) *config.Dataplane {
	for _, o := range list {
		if o.Type == d.Type && o.Socket == d.Socket && o.NetNS == d.NetNS {
			return o
		}
	}
	return nil
}

// compared is one dataplane under comparison.
type compared struct {
	PlaneChange
	old, want []*config.Pair
	made      []pair.Made
	seen      *dataplane.Seen // nil: it could not be looked at
}

func (p *Planes) begin(d *config.Dataplane) *compared {
	c := &compared{PlaneChange: PlaneChange{Name: d.Name, Type: d.Type, Place: d.Place()}}
	for key, made := range p.Made {
		if o, ok := core.ParseMadeKey(key); ok && samePlace([]*config.Dataplane{o}, d) != nil {
			c.made = append(c.made, made...)
		}
	}
	slices.SortFunc(c.made, func(a, b pair.Made) int { return strings.Compare(a.Interface(), b.Interface()) })
	seen, err := p.Look(d)
	switch {
	case err == nil, d.Type == config.NetNS && errors.Is(err, fs.ErrNotExist) && samePlace(p.New.Dataplanes, d) == nil:
		c.seen = &seen // what was in a namespace has gone with it
	default:
		c.Unreachable = err.Error()
	}
	return c
}

func pairsOf(cfg *config.Config, d *config.Dataplane) (list []*config.Pair) {
	if d == nil {
		return nil
	}
	for _, x := range cfg.Pairs {
		if x.Dataplane == d.Name {
			list = append(list, x)
		}
	}
	return list
}

// plane compares a dataplane that is to be.
func (p *Planes) plane(d *config.Dataplane) PlaneChange {
	c := p.begin(d)
	old := samePlace(p.Old.Dataplanes, d)
	c.old, c.want = pairsOf(p.Old, old), pairsOf(p.New, d)
	if old == nil {
		c.Does = Connect
	} else if c.Attrs = planeAttrs(old, d); c.Attrs != nil {
		c.Does = Change
	}
	for _, w := range c.want {
		c.pair(w)
	}
	c.unwanted()
	return c.PlaneChange
}

// left compares a dataplane that is not to be any more.
func (p *Planes) left(d *config.Dataplane) PlaneChange {
	c := p.begin(d)
	old := samePlace(p.Old.Dataplanes, d)
	if c.old = pairsOf(p.Old, old); old != nil {
		c.Does = Leave
	}
	c.unwanted()
	if c.Does == "" && c.Pairs == nil {
		c.Unreachable = "" // nothing is left there
	}
	return c.PlaneChange
}

// pair compares a pair that is wanted.
func (c *compared) pair(w *config.Pair) {
	x := PairChange{Name: w.Name, Phy: w.Phy, Host: w.Host, NetNS: w.NetNS}
	var old *config.Pair
	for _, o := range c.old {
		if o.Phy == w.Phy {
			old = o
		}
	}
	fixed, live := pairAttrs(old, w)
	switch {
	case c.seen == nil && old == nil:
		x.Does, x.Reason = Make, "when the dataplane can be reached"
	case c.seen == nil:
		x.decide(fixed, live)
	default:
		c.pairSeen(&x, w, old, fixed, live)
	}
	if x.Does != "" {
		c.Pairs = append(c.Pairs, x)
	}
}

// decide says what changed options mean.
func (x *PairChange) decide(fixed, live []Attr) {
	switch x.Attrs = append(fixed, live...); {
	case len(fixed) > 0:
		x.Does = Remake
	case len(live) > 0:
		x.Does = Change
	}
}

// pairSeen compares a pair with what the dataplane has.
func (c *compared) pairSeen(x *PairChange, w, old *config.Pair, fixed, live []Attr) {
	i := c.seen.Interface(w.Phy)
	var have *dataplane.Pair
	missing := ""
	if i == nil {
		missing = w.Phy
	} else if have = c.seen.Pair(i.Index); have == nil && w.NetNS != "" && !exists(w.NetNS) {
		missing = w.NetNS
	}
	switch {
	case missing != "":
		if x.decide(fixed, live); old == nil {
			x.Does, x.Reason = Make, "when "+missing+" is there"
		}
		return
	case have == nil:
		x.Does = Make
		return
	}
	there := mismatch(have, w)
	ours := slices.ContainsFunc(c.made, func(m pair.Made) bool { return m.Pair && c.means(m, w.Phy) })
	switch {
	case len(there) == 0:
		// What it has counts, not what the configuration in force says.
		x.decide(nil, live)
	case ours:
		x.decide(there, live)
	case old == nil || len(fixed) > 0:
		x.Does, x.Attrs = Refuse, there
		x.Reason = w.Phy + " is paired with " + have.HostName + ", which is not ours: unpair it there"
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// mismatch compares a pair that is there with what is wanted.
func mismatch(have *dataplane.Pair, w *config.Pair) (out []Attr) {
	add(&out, "host", have.HostName, w.Host)
	add(&out, "netns", nsText(have.NetNS), nsText(w.NetNS))
	add(&out, "tun", yes(have.TUN), yes(w.TUN))
	return out
}

// means tells whether something made is (a part of) the pair of an interface.
func (c *compared) means(m pair.Made, phy string) bool {
	if c.seen != nil {
		if i := c.seen.Interface(phy); i != nil && i.Parent != dataplane.NoIndex {
			p := c.seen.At(i.Parent)
			sub := i.Sub
			sub.Exact = true
			return p != nil && m.Phy == p.Name && m.Sub == sub
		}
	}
	return m.Interface() == phy
}

// unwanted finds what was made and nobody wants any more, and pairs of the
// configuration in force that others have made.
func (c *compared) unwanted() {
	told := map[string]bool{}
	for _, m := range c.made {
		if slices.ContainsFunc(c.want, func(w *config.Pair) bool {
			return c.means(m, w.Phy) || w.AutoSubif && w.Phy == m.Phy && m.Sub != (dataplane.Sub{})
		}) {
			continue
		}
		x := PairChange{Phy: m.Interface(), Does: Apart}
		for _, o := range c.old {
			if c.means(m, o.Phy) {
				x.Name, x.Phy, x.Host, x.NetNS = o.Name, o.Phy, o.Host, o.NetNS
			}
		}
		told[x.Phy] = true
		if c.seen == nil {
			x.Reason = "when the dataplane can be reached"
		} else if have := c.madeThere(m); have == nil {
			continue // it has gone already
		} else if have.HostName != "" {
			x.Host, x.NetNS = have.HostName, have.NetNS
		}
		c.Pairs = append(c.Pairs, x)
	}
	for _, o := range c.old {
		if told[o.Phy] || slices.ContainsFunc(c.want, func(w *config.Pair) bool { return w.Phy == o.Phy }) {
			continue
		}
		x := PairChange{Name: o.Name, Phy: o.Phy, Host: o.Host, NetNS: o.NetNS, Does: Forget}
		if c.seen != nil {
			x.Reason = "it has not been made"
			if i := c.seen.Interface(o.Phy); i != nil && c.seen.Pair(i.Index) != nil {
				x.Reason = "others have made its companion, which stays"
			}
		}
		c.Pairs = append(c.Pairs, x)
	}
}

// madeThere gives what is there of something made: its pair, or one without a
// companion for a sub-interface alone; nil for nothing.
func (c *compared) madeThere(m pair.Made) *dataplane.Pair {
	i := c.seen.Interface(m.Phy)
	if i != nil && m.Sub != (dataplane.Sub{}) {
		parent := i.Index
		i = nil
		for n := range c.seen.Interfaces {
			if s := &c.seen.Interfaces[n]; s.Parent == parent && s.Sub == m.Sub && !s.Companion {
				i = s
			}
		}
	}
	if i == nil {
		return nil
	}
	if p := c.seen.Pair(i.Index); p != nil && m.Pair {
		return p
	}
	if m.Iface {
		return &dataplane.Pair{}
	}
	return nil
}

// planeAttrs are the options of a dataplane that change how it is used.
func planeAttrs(a, b *config.Dataplane) (out []Attr) {
	add(&out, "name", a.Name, b.Name)
	add(&out, "skip_proto", protoText(a), protoText(b))
	add(&out, "netns_table", tableText(a), tableText(b))
	add(&out, "punt", puntText(a), puntText(b))
	add(&out, "window", strconv.Itoa(a.Window), strconv.Itoa(b.Window))
	return out
}

// pairAttrs are the options of a pair that differ: those that its companion is
// made with, and those that can change while it is there.
func pairAttrs(a, b *config.Pair) (fixed, live []Attr) {
	if a == nil {
		return nil, nil
	}
	add(&fixed, "host", a.Host, b.Host)
	add(&fixed, "netns", nsText(a.NetNS), nsText(b.NetNS))
	add(&fixed, "tun", yes(a.TUN), yes(b.TUN))
	add(&live, "name", a.Name, b.Name)
	add(&live, "sync", yes(a.Sync), yes(b.Sync))
	add(&live, "auto_subif", yes(a.AutoSubif), yes(b.AutoSubif))
	add(&live, "mpls", mplsText(a), mplsText(b))
	return fixed, live
}

// mplsText is option mpls, "linux" for none.
func mplsText(p *config.Pair) string {
	if !p.MPLS && !p.NoMPLS {
		return "linux"
	}
	return yes(p.MPLS)
}

func add(out *[]Attr, name, from, to string) {
	if from != to {
		*out = append(*out, Attr{name, from, to})
	}
}

func yes(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func nsText(file string) string {
	return cmp.Or(strings.TrimPrefix(file, "/run/netns/"), "the daemon's own")
}

func protoText(d *config.Dataplane) string {
	var list []string
	for _, n := range d.SkipProtos {
		list = append(list, rtnl.ProtocolName(n))
	}
	return cmp.Or(strings.Join(list, " "), "none")
}

func puntText(d *config.Dataplane) string {
	var list []string
	for _, n := range d.Punt {
		list = append(list, config.PuntName(n))
	}
	return cmp.Or(strings.Join(list, " "), "none")
}

func tableText(d *config.Dataplane) string {
	var list []string
	for _, t := range d.Tables {
		list = append(list, fmt.Sprintf("%s %d", nsText(t.NetNS), t.FIB))
	}
	return cmp.Or(strings.Join(list, ", "), "none")
}
