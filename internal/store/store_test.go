package store

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/plan"
	"netbraid/rtnl"
)

func records() []plan.Record {
	addr := rtnl.Addr{Index: 3, Family: unix.AF_INET, PrefixLen: 24, Local: netip.MustParseAddr("192.0.2.1"), Valid: rtnl.LifetimeForever}
	route := rtnl.Route{Family: unix.AF_INET6, Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("2001:db8::1"), Oif: 3, Table: 254, Priority: 1024}
	rule := rtnl.Rule{Family: unix.AF_INET, Priority: 100, Table: 7, Src: netip.MustParsePrefix("10.0.0.0/8"), SuppressPL: -1, SuppressIG: -1}
	link := &plan.OwnedLink{Index: 3, Name: "eth0", Set: rtnl.LinkMTU, Orig: rtnl.Link{MTU: 1500}, Sysctl: map[string]string{"ipv4/conf/rp_filter": "1"}}
	return []plan.Record{{Link: link}, {Addr: &addr}, {Route: &route}, {Rule: &rule}}
}

func owned(recs []plan.Record) *plan.Owned {
	o := plan.NewOwned()
	for _, r := range recs {
		o.Apply(r)
	}
	return o
}

func TestStateSurvives(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	recs := records()
	if err := s.Append(recs, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDown([]string{"wan"}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Fatal("two daemons have the same state open")
	}
	// Killed: nothing is closed in order; the kernel drops the lock.
	s.lock.Close()
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := again.Owned(); !reflect.DeepEqual(got, owned(recs)) {
		t.Errorf("read back %+v", got)
	}
	if got := again.Down(); len(got) != 1 || got[0] != "wan" {
		t.Errorf("down: %v", got)
	}
	drop := recs[1]
	drop.Drop = true
	if err := again.Append([]plan.Record{drop}, nil); err != nil {
		t.Fatal(err)
	}
	if o, _ := Read(dir); len(o.Addrs) != 0 || len(o.Routes) != 1 {
		t.Errorf("after a drop: %+v", o)
	}
}

func TestStateOfAnotherBootIsDropped(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Append(records(), nil); err != nil {
		t.Fatal(err)
	}
	s.Close()
	path := filepath.Join(dir, "state")
	b, _ := os.ReadFile(path)
	changed := strings.Replace(string(b), currentHeader().BootID, "another-boot", 1)
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, _ := Read(dir); len(o.Links)+len(o.Addrs)+len(o.Routes)+len(o.Rules) != 0 {
		t.Errorf("state of another boot is used: %+v", o)
	}
}

// TestTornLine: a daemon that dies in the middle of a line has not written to
// the kernel what the line says.
func TestTornLine(t *testing.T) {
	h := currentHeader()
	head, _ := json.Marshal(h)
	first, _ := json.Marshal(line{Record: &records()[1]})
	torn, _ := json.Marshal(line{Record: &records()[2]})
	text := string(head) + "\n" + string(first) + "\n" + string(torn[:len(torn)/2])
	o, _, warn := parse([]byte(text), h)
	if warn != "" || len(o.Addrs) != 1 || len(o.Routes) != 0 {
		t.Errorf("a torn last line: %q %+v", warn, o)
	}
	o, _, warn = parse([]byte(string(head)+"\n"+"nonsense\n"+string(first)+"\n"), h)
	if !strings.Contains(warn, "line 2") || len(o.Addrs) != 0 {
		t.Errorf("a broken line: %q %+v", warn, o)
	}
}

func TestCompactKeepsWhatIsOurs(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	live := owned(records())
	s.lines = compactAfter
	if err := s.Append(records(), live); err != nil {
		t.Fatal(err)
	}
	if s.lines != 0 {
		t.Error("the file was not rewritten")
	}
	if o, _ := Read(dir); !reflect.DeepEqual(o, live) {
		t.Errorf("after rewriting: %+v", o)
	}
}

func FuzzParse(f *testing.F) {
	head, _ := json.Marshal(header{Version: version})
	f.Add(string(head) + "\n{\"Record\":{\"Link\":{\"Index\":3}}}\n")
	f.Add("")
	f.Add("{}\n{}\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		o, _, _ := parse([]byte(text), header{Version: version})
		if o == nil {
			t.Fatal("no state at all")
		}
		again := plan.NewOwned()
		for _, r := range o.Snapshot() {
			again.Apply(r)
		}
		if len(again.Links) != len(o.Links) || len(again.Addrs) != len(o.Addrs) || len(again.Routes) != len(o.Routes) {
			t.Fatal("a snapshot does not make the same state")
		}
	})
}
