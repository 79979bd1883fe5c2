package ovs

import (
	"cmp"
	"maps"
	"slices"

	"netbraid/internal/ovs/odp"
)

// Table is a kind of object that is watched.
type Table uint8

// The tables.
const (
	TableDatapaths Table = 1 << iota
	TablePorts
	TableFlows
)

// String names the table.
func (t Table) String() string {
	switch t {
	case TableDatapaths:
		return "datapaths"
	case TablePorts:
		return "ports"
	case TableFlows:
		return "flows"
	}
	return "tables"
}

// EventKind is what an Event tells.
type EventKind uint8

// The kinds of events.
const (
	// Changed: an object is new, other than before, or Deleted. Counters are no
	// change.
	Changed EventKind = iota + 1
	// Lost: notifications were lost. A SyncBegin follows.
	Lost
	// SyncBegin: a table is read anew; what follows until SyncEnd is in what it
	// differs from what was told before. Objects that are as they were cause no
	// event.
	SyncBegin
	SyncEnd
)

// Event is what a Watcher tells. The object of Changed is the one that its
// table names; in memory that is the receiver's.
type Event struct {
	Kind     EventKind
	Table    Table
	Deleted  bool
	Datapath *odp.Datapath
	Port     *odp.Port
	Flow     *odp.Flow
}

type portKey struct{ datapath, number uint32 }

// flowKey is a flow as small as it can be kept.
type flowKey struct {
	datapath        uint32
	key, mask, ufid string
	exact           bool
}

// tracker knows what was told of the tables. It is pure: messages in, events
// out.
type tracker struct {
	tables    Table
	datapaths map[uint32]odp.Datapath
	ports     map[portKey]odp.Port
	flows     map[flowKey]string // the actions
	emit      func(Event)

	// Of the dump that goes on.
	seenDatapaths map[uint32]bool
	seenPorts     map[portKey]bool
	seenFlows     map[flowKey]bool
}

func newTracker(tables Table, emit func(Event)) *tracker {
	return &tracker{tables: tables, emit: emit, datapaths: map[uint32]odp.Datapath{}, ports: map[portKey]odp.Port{}, flows: map[flowKey]string{}}
}

// withoutCounters leaves what a consumer is told of.
func withoutCounters(d odp.Datapath) odp.Datapath {
	return odp.Datapath{Index: d.Index, Name: d.Name, Features: d.Features, MasksCache: d.MasksCache, PerCPU: d.PerCPU}
}

func sameDatapath(a, b odp.Datapath) bool {
	return a.Name == b.Name && a.Features == b.Features && a.MasksCache == b.MasksCache && slices.Equal(a.PerCPU, b.PerCPU)
}

func samePort(a, b odp.Port) bool {
	return a.Type == b.Type && a.Name == b.Name && a.Ifindex == b.Ifindex && a.Moved == b.Moved && a.NetNS == b.NetNS &&
		a.Options == b.Options && slices.Equal(a.PIDs, b.PIDs)
}

func (t *tracker) putDatapath(d odp.Datapath) {
	if t.seenDatapaths != nil {
		t.seenDatapaths[d.Index] = true
	}
	if have, ok := t.datapaths[d.Index]; ok && sameDatapath(have, d) {
		return
	}
	t.datapaths[d.Index] = withoutCounters(d)
	if t.tables&TableDatapaths != 0 {
		t.emit(Event{Kind: Changed, Table: TableDatapaths, Datapath: &d})
	}
}

// deleteDatapath also deletes its ports and flows, which the kernel does
// without a word.
func (t *tracker) deleteDatapath(index uint32) {
	d, ok := t.datapaths[index]
	if !ok {
		return
	}
	for _, k := range slices.SortedFunc(maps.Keys(t.flows), cmpFlows) {
		if k.datapath == index {
			t.deleteFlow(k)
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(t.ports), cmpPorts) {
		if k.datapath == index {
			t.deletePort(k)
		}
	}
	delete(t.datapaths, index)
	if t.tables&TableDatapaths != 0 {
		t.emit(Event{Kind: Changed, Table: TableDatapaths, Deleted: true, Datapath: &d})
	}
}

func (t *tracker) putPort(p odp.Port) {
	k := portKey{p.Datapath, p.Number}
	if t.seenPorts != nil {
		t.seenPorts[k] = true
	}
	if have, ok := t.ports[k]; ok && samePort(have, p) {
		return
	}
	t.ports[k] = p
	if t.tables&TablePorts != 0 {
		t.emit(Event{Kind: Changed, Table: TablePorts, Port: &p})
	}
}

func (t *tracker) deletePort(k portKey) {
	p, ok := t.ports[k]
	if !ok {
		return
	}
	delete(t.ports, k)
	if t.tables&TablePorts != 0 {
		t.emit(Event{Kind: Changed, Table: TablePorts, Deleted: true, Port: &p})
	}
}

func keyOf(f *odp.Flow) flowKey {
	k := flowKey{datapath: f.Datapath, ufid: f.UFID, exact: f.Match.Exact}
	if f.UFID == "" || f.Match.Key != (odp.FlowKey{}) {
		k.key = string(odp.AppendKey(nil, &f.Match.Key))
		k.mask = string(odp.AppendKey(nil, &f.Match.Mask))
	}
	return k
}

// flow makes a flow of its key, with neither actions nor counters.
func (k *flowKey) flow() odp.Flow {
	f := odp.Flow{Datapath: k.datapath, UFID: k.ufid}
	f.Match.Exact = k.exact
	// What was encoded can be decoded.
	f.Match.Key, _ = odp.ParseKey([]byte(k.key))
	f.Match.Mask, _ = odp.ParseKey([]byte(k.mask))
	return f
}

func (t *tracker) putFlow(f *odp.Flow) {
	k := keyOf(f)
	if t.seenFlows != nil {
		t.seenFlows[k] = true
	}
	actions := string(odp.AppendActions(nil, f.Actions))
	if have, ok := t.flows[k]; ok && have == actions {
		return
	}
	t.flows[k] = actions
	one := *f
	one.Actions = slices.Clone(f.Actions)
	t.emit(Event{Kind: Changed, Table: TableFlows, Flow: &one})
}

func (t *tracker) deleteFlow(k flowKey) {
	actions, ok := t.flows[k]
	if !ok {
		return
	}
	delete(t.flows, k)
	f := k.flow()
	f.Actions, _ = odp.ParseActions([]byte(actions))
	t.emit(Event{Kind: Changed, Table: TableFlows, Deleted: true, Flow: &f})
}

func cmpPorts(a, b portKey) int {
	return cmp.Or(cmp.Compare(a.datapath, b.datapath), cmp.Compare(a.number, b.number))
}

func cmpFlows(a, b flowKey) int {
	return cmp.Or(cmp.Compare(a.datapath, b.datapath), cmp.Compare(a.key, b.key), cmp.Compare(a.mask, b.mask), cmp.Compare(a.ufid, b.ufid))
}

// begin starts a dump: what is put from now on is marked as seen.
func (t *tracker) begin(table Table) {
	switch table {
	case TableDatapaths:
		t.seenDatapaths = map[uint32]bool{}
	case TablePorts:
		t.seenPorts = map[portKey]bool{}
	case TableFlows:
		t.seenFlows = map[flowKey]bool{}
	}
	if t.tables&table != 0 {
		t.emit(Event{Kind: SyncBegin, Table: table})
	}
}

// unseenPorts are those that the dump that goes on has not shown. It may have
// passed over one while others came or went.
func (t *tracker) unseenPorts() (list []portKey) {
	for _, k := range slices.SortedFunc(maps.Keys(t.ports), cmpPorts) {
		if !t.seenPorts[k] {
			list = append(list, k)
		}
	}
	return list
}

// unseenFlows are the same of flows.
func (t *tracker) unseenFlows() (list []flowKey) {
	for _, k := range slices.SortedFunc(maps.Keys(t.flows), cmpFlows) {
		if !t.seenFlows[k] {
			list = append(list, k)
		}
	}
	return list
}

// end ends a dump. If it was complete, what it has not shown is deleted.
func (t *tracker) end(table Table, complete bool) {
	switch table {
	case TableDatapaths:
		seen := t.seenDatapaths
		t.seenDatapaths = nil
		for _, index := range slices.Sorted(maps.Keys(t.datapaths)) {
			if complete && !seen[index] {
				t.deleteDatapath(index)
			}
		}
	case TablePorts:
		gone := t.unseenPorts()
		t.seenPorts = nil
		for _, k := range gone {
			if complete {
				t.deletePort(k)
			}
		}
	case TableFlows:
		gone := t.unseenFlows()
		t.seenFlows = nil
		for _, k := range gone {
			if complete {
				t.deleteFlow(k)
			}
		}
	}
	if t.tables&table != 0 {
		t.emit(Event{Kind: SyncEnd, Table: table})
	}
}

// clear tells that nothing is there any more.
func (t *tracker) clear() {
	for _, table := range []Table{TableDatapaths, TablePorts, TableFlows} {
		if t.tables&table != 0 || table == TableDatapaths {
			t.begin(table)
			t.end(table, true)
		}
	}
}

// notified takes the body of a notification. made is the index of a datapath
// that is new: the kernel does not tell of its local port.
func (t *tracker) notified(table Table, body []byte) (made uint32, err error) {
	h, _, err := odp.ParseHeader(body)
	if err != nil {
		return 0, err
	}
	switch table {
	case TableDatapaths:
		d, err := odp.ParseDatapath(body)
		if err != nil {
			return 0, err
		}
		if h.Cmd == odp.CmdDel {
			t.deleteDatapath(d.Index)
			return 0, nil
		}
		_, known := t.datapaths[d.Index]
		t.putDatapath(d)
		if !known {
			made = d.Index
		}
		return made, nil
	case TablePorts:
		p, err := odp.ParsePort(body)
		switch {
		case err != nil:
			return 0, err
		case h.Cmd == odp.CmdDel:
			t.deletePort(portKey{p.Datapath, p.Number})
		default:
			t.putPort(p)
		}
	case TableFlows:
		f, err := odp.ParseFlow(body)
		switch {
		case err != nil:
			return 0, err
		case h.Cmd == odp.CmdDel:
			t.deleteFlow(keyOf(&f))
		default:
			t.putFlow(&f)
		}
	}
	return 0, nil
}

// indexes lists the datapaths that are known.
func (t *tracker) indexes() []uint32 { return slices.Sorted(maps.Keys(t.datapaths)) }
