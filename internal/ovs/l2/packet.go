package l2

import (
	"slices"
	"time"
)

// Verdict is what is to be done with a frame.
type Verdict struct {
	// Out are lists of actions, each for the frame as it came; none: it is
	// dropped.
	Out [][]Action
	// Install: frames of this Key are to be treated in the same way by the
	// datapath itself, by a flow with Actions().
	Install bool
	Learnt  bool // the source is new
	Moved   bool // the source was behind another port
	// Held: the source moves too often and stays where it is for a while; said
	// with the first frame only.
	Held bool
	Full bool // there would be a flow if there was room
}

// Actions of the flow when Install is set.
func (v *Verdict) Actions() []Action {
	if len(v.Out) == 0 {
		return nil
	}
	return v.Out[0]
}

// Packet decides about a frame that no flow of the datapath has matched. The
// stations of its two ends are told apart by VLAN. The deletion of flows that a
// move has made wrong is among the Changes, and is to be told before the
// flow of this Verdict, which is not among them.
func (b *Bridge) Packet(now time.Duration, k Key) (v Verdict) {
	r := b.where(k)
	var src *entry
	if r.learns {
		var l learnt
		src, l = b.learn(now, r.in, r.src)
		v.Learnt, v.Moved, v.Held = l == newStation, l == moved, l == heldNow
		if l == moved {
			b.stats.Moves++
		}
		if l == heldNow {
			b.stats.Holds++
		}
		if l == newStation || l == moved {
			r = b.where(k) // the destination may have been evicted, or be this very station
		}
	}
	v.Out, v.Install = r.out, r.install
	switch {
	case r.unknown:
		b.stats.Unknown++
	case k.Dst.group() && len(r.out) > 0:
		b.stats.Flooded++
	}
	if !v.Install {
		return v
	}
	if b.flows[k] == nil && !b.room(len(r.list())) {
		v.Install, v.Full = false, true
		b.stats.Full++
		return v
	}
	b.addFlow(now, k, r, src)
	return v
}

// result is where a frame goes.
type result struct {
	in      *port
	src     station
	learns  bool   // src is to be learnt behind in
	dst     *entry // of a known station
	unknown bool   // the destination is not known: flood
	install bool
	out     [][]Action
}

func (r *result) list() []Action {
	if len(r.out) == 0 {
		return nil
	}
	return r.out[0]
}

// where decides where a frame goes, by the tables as they are.
func (b *Bridge) where(k Key) (r result) {
	r.in = b.byNumber[k.Port]
	if r.in == nil {
		return r // not ours, or on its way out: its frames stop here
	}
	r.install = true
	vlan, ok := r.in.VLAN.ingress(k.Tag)
	if !ok || k.Src.group() || k.Src == (MAC{}) || k.Dst.reserved() && !b.o.ForwardReserved {
		return r
	}
	r.src, r.learns = station{vlan, k.Src}, true
	if !k.Dst.group() {
		r.dst = b.stations[station{vlan, k.Dst}]
		switch {
		case r.dst == nil:
			// Without a flow: it would flood on after the station has spoken.
			r.install, r.unknown = false, true
		case r.dst.port == r.in:
			return r
		default:
			r.out = send(k, vlan, []*port{r.dst.port})
			return r
		}
	}
	r.out = b.flood(r.in, k, vlan)
	r.install = r.install && len(r.out) < 2
	return r
}

// flood gives the actions that send a frame to all ports of the VLAN but the
// one that it came from.
func (b *Bridge) flood(in *port, k Key, vlan uint16) [][]Action {
	fk := floodKey{in.Number, vlan, k.Tag}
	if out, ok := b.floods[fk]; ok {
		return out
	}
	members := slices.DeleteFunc(slices.Clone(b.ports), func(p *port) bool { return p == in || !p.VLAN.carries(vlan) })
	out := send(k, vlan, members)
	if len(b.floods) >= maxFloods {
		clear(b.floods)
	}
	b.floods[fk] = out
	return out
}
