package odp

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// seedBodies adds what was recorded, of both directions.
func seedBodies(f *testing.F) {
	seen := map[string]bool{}
	for _, x := range exchanges(f) {
		key := x.File + x.Cmd
		if x.body != nil && (!seen[key] || strings.HasPrefix(x.File, "flow")) {
			seen[key] = true
			f.Add(x.body)
		}
	}
}

// FuzzMessages reads anything as a message of every family; what can be read
// means the same when it is written and read again.
func FuzzMessages(f *testing.F) {
	seedBodies(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _ = ParseFamily(body)
		_, _ = ParseDatapath(body)
		if p, err := ParsePort(body); err == nil {
			r := PortRequest{Datapath: p.Datapath, Set: SetNumber | SetType | SetOptions | SetPIDs | SetStats, Number: p.Number, Type: p.Type,
				Name: p.Name, Options: p.Options, PIDs: p.PIDs, Stats: p.Stats}
			q, err := ParsePort(AppendPort(nil, 99, CmdNew, 0, &r)[unix.SizeofNlMsghdr:])
			p.Ifindex, p.Moved, p.NetNS, p.Upcalls, p.UpcallsLost = 0, false, 0, 0, 0
			if p.PIDs == nil {
				p.PIDs = []uint32{}
			}
			if err != nil || !reflect.DeepEqual(p, q) {
				t.Errorf("port %+v became %+v, %v", p, q, err)
			}
		}
		if fl, err := ParseFlow(body); err == nil {
			checkFlow(t, &fl)
		}
		var u Upcall
		if err := u.Parse(body); err == nil {
			_, _ = ParseActions(u.Actions)
		}
	})
}

func checkFlow(t *testing.T, f *Flow) {
	_ = FormatFlow(f, nil, f.Used)
	_ = ViewFlow(f, nil, f.Used)
	if len(f.UFID) > 16 || f.Match.Key == (FlowKey{}) {
		return
	}
	msg := AppendFlow(nil, 99, CmdNew, 0, &FlowRequest{Datapath: f.Datapath, Match: f.Match, Actions: f.Actions, UFID: f.UFID})
	g, err := ParseFlow(msg[unix.SizeofNlMsghdr:])
	if err != nil {
		t.Fatalf("%+v written: %v", f, err)
	}
	if f.Match.Key.Has == 0 && f.Match.Key.Meta == "" {
		return // nothing that a request can say
	}
	if g.Match != f.Match || g.UFID != f.UFID || len(g.Actions) != len(f.Actions) {
		t.Errorf("flow\n%+v became\n%+v", f, g)
	}
	if a, b := AppendActions(nil, f.Actions), AppendActions(nil, g.Actions); !bytes.Equal(a, b) {
		t.Errorf("actions %x became %x", a, b)
	}
}
