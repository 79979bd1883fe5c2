package ovs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// hearer is a consumer of events: it knows only what it was told, and finds
// fault with what tells it nothing new.
type hearer struct {
	t     testing.TB
	know  map[string]string
	sync  Table
	count int
}

func (h *hearer) hear(e Event) {
	h.count++
	var key, value string
	switch {
	case e.Kind == SyncBegin || e.Kind == SyncEnd:
		if (h.sync == 0) != (e.Kind == SyncBegin) || e.Kind == SyncEnd && h.sync != e.Table {
			h.t.Errorf("%v of %v inside that of %v", e.Kind, e.Table, h.sync)
		}
		h.sync = 0
		if e.Kind == SyncBegin {
			h.sync = e.Table
		}
		return
	case e.Kind != Changed:
		h.t.Errorf("event %+v", e)
		return
	case e.Datapath != nil && e.Table == TableDatapaths:
		key = fmt.Sprint("datapath ", e.Datapath.Index)
		value = fmt.Sprint(e.Datapath.Name, e.Datapath.Features)
	case e.Port != nil && e.Table == TablePorts:
		key = fmt.Sprint("port ", e.Port.Datapath, e.Port.Number)
		value = fmt.Sprint(e.Port.Name, e.Port.Type, e.Port.PIDs, e.Port.Moved)
	case e.Flow != nil && e.Table == TableFlows:
		key = fmt.Sprint("flow ", e.Flow.Datapath, e.Flow.Match)
		value = odp.FormatActions(e.Flow.Actions, nil)
	default:
		h.t.Errorf("event %+v", e)
	}
	have, known := h.know[key]
	switch {
	case e.Deleted && !known:
		h.t.Errorf("%s is gone, and was not there", key)
	case e.Deleted:
		delete(h.know, key)
	case known && have == value:
		h.t.Errorf("%s is as it was: %s", key, value)
	default:
		h.know[key] = value
	}
}

// truth is a kernel as small as it can be: objects by their messages.
type truth struct {
	datapaths map[uint32]string
	ports     map[portKey]odp.PortRequest
	flows     map[portKey]odp.FlowRequest // by datapath and in_port
}

func (k *truth) datapathMsg(cmd uint8, i uint32) []byte {
	return odp.AppendDatapath(nil, 99, cmd, 0, &odp.DatapathRequest{Index: i, Name: k.datapaths[i]})[unix.SizeofNlMsghdr:]
}

func portMsg(cmd uint8, r odp.PortRequest) []byte {
	return odp.AppendPort(nil, 99, cmd, 0, &r)[unix.SizeofNlMsghdr:]
}

func flowMsg(cmd uint8, r odp.FlowRequest) []byte {
	if cmd == odp.CmdDel { // notifications of a deletion show all of it
		b := flowMsg(odp.CmdNew, r)
		b[0] = cmd
		return b
	}
	return odp.AppendFlow(nil, 99, cmd, 0, &r)[unix.SizeofNlMsghdr:]
}

// change changes something, and returns its notification; none when the kernel
// is silent about it.
func (k *truth) change(r *rand.Rand) (Table, []byte) {
	dp := 1 + r.Uint32N(3)
	key := portKey{dp, r.Uint32N(6)}
	switch _, there := k.datapaths[dp]; {
	case !there:
		k.datapaths[dp] = fmt.Sprint("sw", r.IntN(4))
		k.ports[portKey{dp, 0}] = odp.PortRequest{Datapath: dp, Set: odp.SetNumber | odp.SetType | odp.SetPIDs, Type: odp.TypeInternal, Name: k.datapaths[dp]}
		return TableDatapaths, k.datapathMsg(odp.CmdNew, dp)
	case r.IntN(12) == 0:
		msg := k.datapathMsg(odp.CmdDel, dp)
		delete(k.datapaths, dp)
		maps.DeleteFunc(k.ports, func(p portKey, _ odp.PortRequest) bool { return p.datapath == dp })
		maps.DeleteFunc(k.flows, func(p portKey, _ odp.FlowRequest) bool { return p.datapath == dp })
		return TableDatapaths, msg
	}
	if r.IntN(2) == 0 {
		if f, there := k.flows[key]; there && r.IntN(2) == 0 {
			delete(k.flows, key)
			return TableFlows, flowMsg(odp.CmdDel, f)
		}
		k.flows[key] = l2(dp, key.number, r.Uint32N(3), macA, macB)
		return TableFlows, flowMsg(odp.CmdNew, k.flows[key])
	}
	if key.number == 0 {
		return 0, nil
	}
	if p, there := k.ports[key]; there && r.IntN(2) == 0 {
		delete(k.ports, key)
		return TablePorts, portMsg(odp.CmdDel, p)
	}
	k.ports[key] = odp.PortRequest{Datapath: dp, Set: odp.SetNumber | odp.SetType | odp.SetPIDs, Number: key.number, Type: odp.TypeNetdev,
		Name: fmt.Sprint("p", r.IntN(3)), PIDs: []uint32{r.Uint32N(2)}}
	return TablePorts, portMsg(odp.CmdNew, k.ports[key])
}

// sync reads everything, as Watcher does.
func (k *truth) sync(tr *tracker, complete bool) {
	must := func(_ uint32, err error) {
		if err != nil {
			panic(err)
		}
	}
	tr.begin(TableDatapaths)
	for _, i := range slices.Sorted(maps.Keys(k.datapaths)) {
		must(tr.notified(TableDatapaths, k.datapathMsg(odp.CmdNew, i)))
	}
	tr.end(TableDatapaths, complete)
	tr.begin(TablePorts)
	for _, p := range slices.SortedFunc(maps.Keys(k.ports), cmpPorts) {
		must(tr.notified(TablePorts, portMsg(odp.CmdNew, k.ports[p])))
	}
	tr.end(TablePorts, complete)
	tr.begin(TableFlows)
	for _, p := range slices.SortedFunc(maps.Keys(k.flows), cmpPorts) {
		must(tr.notified(TableFlows, flowMsg(odp.CmdNew, k.flows[p])))
	}
	tr.end(TableFlows, complete)
}

// same holds that the consumer knows what there is.
func (k *truth) same(h *hearer) {
	h.t.Helper()
	want := newTracker(TableDatapaths|TablePorts|TableFlows, func(Event) {})
	other := &hearer{t: h.t, know: map[string]string{}}
	want.emit = other.hear
	k.sync(want, true)
	if !maps.Equal(h.know, other.know) {
		h.t.Fatalf("told of\n%v\nthere is\n%v", h.know, other.know)
	}
}

// TestTracker tells a consumer of random changes, of which some are lost, and
// holds that it knows everything after the tables were read, that nothing is
// told twice, and that reading again what has not changed tells nothing.
func TestTracker(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		k := &truth{map[uint32]string{}, map[portKey]odp.PortRequest{}, map[portKey]odp.FlowRequest{}}
		h := &hearer{t: t, know: map[string]string{}}
		tr := newTracker(TableDatapaths|TablePorts|TableFlows, h.hear)
		for round := range 6 {
			lose := round%2 == 1
			for range 1 + r.IntN(40) {
				table, msg := k.change(r)
				if msg == nil || lose && r.IntN(4) == 0 {
					continue
				}
				made, err := tr.notified(table, msg)
				if err != nil {
					t.Fatal(err)
				}
				if made != 0 { // the kernel says nothing of its local port
					if _, err := tr.notified(TablePorts, portMsg(odp.CmdNew, k.ports[portKey{made, 0}])); err != nil {
						t.Fatal(err)
					}
				}
			}
			if lose {
				k.sync(tr, r.IntN(2) == 0)
				k.sync(tr, true)
			}
			k.same(h)
			before := h.count
			k.sync(tr, true)
			if h.count != before+6 { // three times begin and end
				t.Errorf("seed %d: reading the same again told of %d events", seed, h.count-before)
			}
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// FuzzNotified takes anything for a notification.
func FuzzNotified(f *testing.F) {
	f.Add(uint8(1), odp.AppendDatapath(nil, 99, odp.CmdNew, 0, &odp.DatapathRequest{Index: 5, Name: "sw0"})[16:], true)
	f.Add(uint8(2), portMsg(odp.CmdDel, odp.PortRequest{Datapath: 5, Name: "p", Set: odp.SetNumber}), false)
	f.Add(uint8(4), flowMsg(odp.CmdNew, l2(5, 1, 2, macA, macB)), true)
	f.Fuzz(func(t *testing.T, table uint8, body []byte, again bool) {
		h := &hearer{t: t, know: map[string]string{}}
		tr := newTracker(TableDatapaths|TablePorts|TableFlows, h.hear)
		for range 2 {
			_, _ = tr.notified(Table(table), body)
		}
		tr.begin(TableFlows)
		if again {
			_, _ = tr.notified(Table(table), body)
		}
		tr.end(TableFlows, true)
		tr.deleteDatapath(5)
	})
}
