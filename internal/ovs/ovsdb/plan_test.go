package ovsdb

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"netbraid/internal/model"
	"netbraid/internal/ovs/ovsdb/rfc7047"
)

var (
	bridgeNames = []string{"a", "b", "c"}
	portNames   = []string{"a", "b", "p", "q", "r", "s", "t"}
)

// drawMark gives a row an owner: us, somebody else, another of our kind.
func drawMark(t *rapid.T, label string) rfc7047.Value {
	switch rapid.SampledFrom([]string{"us", "us", "hand", "other"}).Draw(t, label) {
	case "us":
		return rfc7047.Map(markKey, "1", "theirs", "x")
	case "other":
		return rfc7047.Map(markKey, "2")
	}
	return rfc7047.Map()
}

// drawDatabase makes a database that may exist: some of it ours, some not, in
// every mixture.
func drawDatabase(t *rapid.T, s *rfc7047.Schema) *memory {
	m := newMemory(s)
	ifaces := map[string]bool{}
	used := map[string]bool{}
	port := func(name string, mark rfc7047.Value, members []string) rfc7047.Atom {
		used[name] = true
		var refs []string
		for _, n := range members {
			ifaces[n] = true
			im := mark
			if rapid.IntRange(0, 5).Draw(t, "other owner") == 0 {
				im = drawMark(t, "owner of interface "+n)
			}
			refs = append(refs, m.insert("Interface", rfc7047.Row{
				"name": rfc7047.Str(n), "external_ids": im,
				"type":    rfc7047.Str(rapid.SampledFrom([]string{"", "internal", "system"}).Draw(t, "type")),
				"options": rapid.SampledFrom([]rfc7047.Value{rfc7047.Map(), rfc7047.Map("k", "1"), rfc7047.Map("k", "2", "l", "3")}).Draw(t, "options"),
			}))
		}
		row := rfc7047.Row{"name": rfc7047.Str(name), "external_ids": mark, "interfaces": rfc7047.Refs(refs...)}
		if tag := rapid.Int64Range(0, 2).Draw(t, "tag"); tag > 0 {
			row["tag"] = rfc7047.Int(tag)
		}
		return ref(m.insert("Port", row))
	}
	free := func(names []string) []string {
		return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return ifaces[n] })
	}
	var bridges []string
	for _, name := range bridgeNames {
		if rapid.Bool().Draw(t, "bridge "+name) && !used[name] && !ifaces[name] {
			mark := drawMark(t, "owner of bridge "+name)
			ports := rfc7047.Value{Keys: []rfc7047.Atom{port(name, mark, []string{name})}}
			for _, p := range portNames {
				if used[p] || slices.Contains(bridgeNames, p) || rapid.IntRange(0, 2).Draw(t, "port "+p) > 0 {
					continue
				}
				members := []string{p}
				if rapid.IntRange(0, 2).Draw(t, "bond") == 0 {
					if f := free(portNames[2:]); len(f) > 0 {
						members = f[:rapid.IntRange(1, min(2, len(f))).Draw(t, "members")]
					}
				}
				if len(free(members)) == len(members) {
					ports.Keys = append(ports.Keys, port(p, drawMark(t, "owner of port "+p), members))
				}
			}
			row := rfc7047.Row{"name": rfc7047.Str(name), "external_ids": mark, "ports": ports, "other_config": rapid.SampledFrom([]rfc7047.Value{rfc7047.Map(), rfc7047.Map(ageingKey, "20", "x", "y")}).Draw(t, "other_config")}
			for _, target := range []string{"tcp:1", "tcp:2"} {
				if rapid.IntRange(0, 3).Draw(t, "controller") == 0 {
					u := m.insert("Controller", rfc7047.Row{"target": rfc7047.Str(target), "external_ids": drawMark(t, "owner of controller")})
					row["controller"] = rfc7047.Refs(append(row.Refs("controller"), u)...)
				}
			}
			bridges = append(bridges, m.insert("Bridge", row))
		}
	}
	if len(bridges) > 0 || rapid.Bool().Draw(t, "root") {
		m.insert("Open_vSwitch", rfc7047.Row{"bridges": rfc7047.Refs(bridges...)})
	}
	for table := range m.rows { // sorted, as a server sends
		for u, row := range m.rows[table] {
			for c, v := range row {
				row[c], _ = m.value(table, c, v.AppendJSON(nil))
			}
			m.rows[table][u] = row
		}
	}
	return m
}

func drawWant(t *rapid.T) []model.Switch {
	var want []model.Switch
	for _, name := range bridgeNames {
		if !rapid.Bool().Draw(t, "want "+name) {
			continue
		}
		w := model.Switch{Name: name, Ageing: rapid.SampledFrom([]uint32{0, 20, 30, 7}).Draw(t, "ageing"), STP: rapid.Bool().Draw(t, "stp")}
		if rapid.Bool().Draw(t, "controlled") {
			w.Controllers = []string{"tcp:1"}
		}
		for _, p := range portNames {
			if rapid.IntRange(0, 2).Draw(t, "want port "+p) > 0 {
				continue
			}
			port := model.SwitchPort{Name: p, Tag: rapid.SampledFrom([]uint16{0, 1, 2, 5000}).Draw(t, "tag"), Type: rapid.SampledFrom([]string{"", "internal"}).Draw(t, "type")}
			if rapid.Bool().Draw(t, "options") {
				port.Options = []model.KeyValue{{Key: "k", Value: "2"}}
			}
			if rapid.IntRange(0, 2).Draw(t, "bond") == 0 {
				port.Members = rapid.SliceOfNDistinct(rapid.SampledFrom(portNames), 1, 3, rapid.ID[string]).Draw(t, "members")
			}
			w.Ports = append(w.Ports, port)
		}
		want = append(want, w)
	}
	return want
}

// others lists what others have made that a transaction must leave as it is.
func (m *memory) others() map[string]string {
	out := map[string]string{}
	foreign := func(row rfc7047.Row) bool { id, _ := row["external_ids"].Get(markKey); return id != "1" }
	show := func(row rfc7047.Row, without string) string {
		s := ""
		for _, c := range slices.Sorted(maps.Keys(row)) {
			if c != without {
				s += c + "=" + row[c].Text() + " "
			}
		}
		return s
	}
	for b, bridge := range m.rows["Bridge"] {
		if foreign(bridge) {
			out["bridge "+b] = show(bridge, "ports")
			for _, u := range bridge.Refs("controller") {
				out["controller "+u] = show(m.rows["Controller"][u], "")
			}
		}
		for _, p := range bridge.Refs("ports") {
			port := m.rows["Port"][p]
			if !foreign(port) {
				continue
			}
			out["port "+p] = b + " " + show(port, "")
			for _, i := range port.Refs("interfaces") {
				out["interface "+i] = show(m.rows["Interface"][i], "")
			}
		}
	}
	return out
}

// TestPlan: whatever the database has and whatever is wanted, one transaction
// is enough (with problems two may be), none is refused, a plan made after it
// has nothing to do, what others made is as before, and what is not said to be
// a problem is there.
func TestPlan(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	for i := range 10 { // rapid does a hundred each time
		t.Run(fmt.Sprint(i), func(t *testing.T) { rapid.Check(t, func(t *rapid.T) { planOnce(t, schema) }) })
	}
}

func planOnce(t *rapid.T, schema *rfc7047.Schema) {
	m := drawDatabase(t, schema)
	want := drawWant(t)
	held := map[key]bool{}
	if rapid.IntRange(0, 3).Draw(t, "quarrels") == 0 {
		for i := range want {
			for _, p := range append([]string{""}, portNames...) {
				if rapid.IntRange(0, 4).Draw(t, "held") == 0 {
					held[key{want[i].Name, p}] = true
				}
			}
		}
	}
	before := m.String()
	theirs := m.others()
	p := mustPlan(t, m, want, held)
	if err := m.transact(p.ops); err != nil {
		t.Fatalf("%v\n%s", err, before)
	}
	now := m.others()
	for what, was := range theirs {
		if now[what] != was {
			t.Fatalf("%s was\n%s, is\n%s\nbefore:\n%s\nafter:\n%s", what, was, now[what], before, m)
		}
	}
	again := mustPlan(t, m, want, held)
	if len(again.ops) > 0 && len(p.problems) > 0 {
		// What a port with a problem had may have gone with its bridge, and others
		// wait for it.
		if err := m.transact(again.ops); err != nil {
			t.Fatalf("%v\n%s", err, m)
		}
		again = mustPlan(t, m, want, held)
	}
	if len(again.ops) > 0 {
		t.Fatalf("a second plan has %d operations:\n%s\nbefore:\n%s\nafter:\n%s", len(again.ops), rfc7047.AppendTransact(nil, database, again.ops), before, m)
	}
	if len(held) == 0 {
		if why := m.lacks(want, again); why != "" {
			t.Fatalf("%s\nbefore:\n%s\nafter:\n%s", why, before, m)
		}
	}
}

func mustPlan(t *rapid.T, m *memory, want []model.Switch, held map[key]bool) *plan {
	v, err := m.view("1")
	if err != nil {
		t.Fatal(err)
	}
	v = newView(v.Replica, "1") // now that it has rows
	p := newPlan(v, want, func(k key) bool { return held[k] })
	l := liveness{proven: func(rfc7047.Row) bool { return true }}
	list, _ := states(v, want, p, l, func(key) string { return "" }, nil)
	for _, s := range list {
		_ = line(s)
	}
	return p
}

// lacks says what is wanted and neither there nor said to be a problem, and
// what is ours, there, and not wanted.
func (m *memory) lacks(want []model.Switch, p *plan) string {
	v, err := m.view("1")
	if err != nil {
		return err.Error()
	}
	v = newView(v.Replica, "1")
	wanted := map[string]bool{}
	for i := range want {
		w := &want[i]
		wanted[w.Name] = true
		if _, bad := p.problems[key{sw: w.Name}]; bad {
			for j := range w.Ports {
				wanted[w.Ports[j].Name] = true
			}
			continue
		}
		b := v.bridges[w.Name]
		if b == "" {
			return "no bridge " + w.Name
		}
		if got := v.get("Bridge", b, "stp_enable").Text(); got != fmt.Sprint(w.STP) && v.mine("Bridge", b) {
			return "bridge " + w.Name + " has stp_enable " + got
		}
		for j := range w.Ports {
			port := &w.Ports[j]
			wanted[port.Name] = true
			if pr, bad := p.problems[key{w.Name, port.Name}]; bad && pr.err != "" {
				continue
			}
			u := v.ports[port.Name]
			if u == "" || v.bridgeOf[u] != b {
				return "no port " + port.Name + " on bridge " + w.Name
			}
			if tag, _ := v.Table("Port")[u].Int("tag"); tag != int64(port.Tag) {
				return fmt.Sprintf("port %s has tag %d", port.Name, tag)
			}
			for _, n := range members(port) {
				i := v.ifaces[n]
				if i == "" || v.portOf[i] != u {
					return "port " + port.Name + " has no interface " + n
				}
				if got := v.get("Interface", i, "options"); !got.Equal(options(port)) {
					return "interface " + n + " has options " + got.Text()
				}
			}
		}
	}
	for name, u := range v.ports {
		b := v.bridgeOf[u]
		onOwn := v.name("Bridge", b) == name && v.mine("Bridge", b)
		_, keptPort := p.problems[key{sw: v.name("Bridge", b)}]
		if v.mine("Port", u) && !wanted[name] && !onOwn && !keptPort {
			return "port " + name + " is still there"
		}
	}
	for name, u := range v.bridges {
		if v.mine("Bridge", u) && !wanted[name] && p.kept[name] == "" {
			return "bridge " + name + " is still there"
		}
	}
	return ""
}

// BenchmarkPlan is what every change of the database costs: a comparison of
// 1,000 ports that are as wanted.
func BenchmarkPlan(b *testing.B) {
	m := newMemory(readSchema(b))
	w := model.Switch{Name: "br0"}
	for i := range 1000 {
		w.Ports = append(w.Ports, model.SwitchPort{Name: fmt.Sprintf("p%04d", i), Type: "internal", Tag: 7})
	}
	want := []model.Switch{w}
	never := func(key) bool { return false }
	v, err := m.view("1")
	if err != nil {
		b.Fatal(err)
	}
	if err := m.transact(newPlan(newView(v.Replica, "1"), want, never).ops); err != nil {
		b.Fatal(err)
	}
	if v, err = m.view("1"); err != nil {
		b.Fatal(err)
	}
	l := liveness{proven: func(rfc7047.Row) bool { return true }}
	for b.Loop() {
		v := newView(v.Replica, "1")
		p := newPlan(v, want, never)
		if len(p.ops) > 0 {
			b.Fatal("not as wanted")
		}
		states(v, want, p, l, func(key) string { return "" }, nil)
	}
}

// TestOldSchema: what an older Open vSwitch does not know is said of who asks
// for it; nobody else notices.
func TestOldSchema(t *testing.T) {
	t.Parallel()
	schema := readSchema(t)
	delete(schema.Tables["Bridge"].Columns, "rstp_enable")
	delete(schema.Tables["Port"].Columns, "lacp")
	delete(schema.Tables, "Controller")
	v, err := newMemory(schema).view("1")
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Switch{
		{Name: "a", Ports: []model.SwitchPort{{Name: "p"}, {Name: "q", LACP: "active"}}},
		{Name: "b", RSTP: true},
		{Name: "c", Controllers: []string{"tcp:1"}},
	}
	p := newPlan(v, want, func(key) bool { return false })
	problems := map[key]problem{
		{"a", "q"}: {err: "this ovsdb-server (schema 8.3.1) knows no lacp"},
		{"b", ""}:  {err: "this ovsdb-server (schema 8.3.1) knows no rstp_enable"},
		{"c", ""}:  {err: "this ovsdb-server (schema 8.3.1) knows no controllers"},
	}
	if !maps.Equal(p.problems, problems) || p.counts.added != 3 {
		t.Errorf("%d rows made, problems %v", p.counts.added, p.problems)
	}
	if err := checkSchema(v.Replica); err != nil {
		t.Error(err)
	}
	delete(schema.Tables["Interface"].Columns, "ofport")
	if err := checkSchema(rfc7047.NewReplica(schema, columns)); err == nil {
		t.Error("a schema without Interface.ofport is taken")
	}
}

// FuzzContents: whatever a server says its database has, a plan and the states
// are made of it.
func FuzzContents(f *testing.F) {
	const u = "00000001-0000-4000-8000-000000000000"
	f.Add([]byte(`{"Bridge":{"` + u + `":{"initial":{"name":"a","ports":["uuid","` + u + `"],"external_ids":["map",[["netbraid","1"]]]}}}}`))
	f.Add([]byte(`{"Port":{"` + u + `":{"initial":{"name":"p","interfaces":["uuid","` + u + `"],"external_ids":["map",[["netbraid","1"]]]}}},"Interface":{"` + u + `":{"initial":{"name":"p","ofport":-1}}}}`))
	f.Add([]byte(`{"Open_vSwitch":{"` + u + `":{"initial":{"bridges":["uuid","` + u + `"],"cur_cfg":7}}},"Bridge":{"` + u + `":{"initial":{}}}}`))
	schema := readSchema(f)
	want := []model.Switch{
		{Name: "a", Controllers: []string{"x"}, Ports: []model.SwitchPort{{Name: "p"}, {Name: "q", Members: []string{"p", "r"}}}},
		{Name: "p", Ports: []model.SwitchPort{{Name: "a"}}},
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		rep := rfc7047.NewReplica(schema, columns)
		if rep.Initial(raw) != nil {
			return
		}
		v := newView(rep, "1")
		p := newPlan(v, want, func(key) bool { return false })
		if !json.Valid(rfc7047.AppendTransact(nil, database, p.ops)) {
			t.Fatal("the transaction is no JSON")
		}
		states(v, want, p, liveness{proven: func(rfc7047.Row) bool { return true }}, func(key) string { return "" }, nil)
	})
}
