package proto

import (
	"strings"
	"testing"

	"netbraid/internal/config"
)

func TestDescribe(t *testing.T) {
	s, err := Describe([]byte(`{"name":"labtest","config":[["mode",3],["num",5],["flag",7],["items:list(string)",1],["ip:ip4addr",3],["mode",5]],"no-device":true,"no-device-config":1,"no-proto-task":true,"available":true,"renew-handler":true,"restart-handler":true,"lasterror":true,"teardown-on-l3-link-down":true}`), "./x.sh", "/d")
	if err != nil {
		t.Fatal(err)
	}
	if want := (Flags{External: true, NoDevice: true, NoDeviceConfig: true, InitAvailable: true, MovesL3: true, Renew: true, Restart: true,
		NoTask: true, LastError: true, TeardownOnL3LinkDown: true}); s.Flags != want || s.Name != "labtest" {
		t.Errorf("%+v", s)
	}
	got := ""
	for _, o := range s.Options {
		got += o.Name + "=" + o.Validate() + " "
	}
	if got != "mode=string num=uinteger flag=bool items=list(string) ip=ip4addr " {
		t.Error(got)
	}
	if c := s.Config(); len(c.Options) != 5 || c.Options["mode"] != config.TypeString || c.ForceLink {
		t.Errorf("%+v", c)
	}
	if s, err := Describe([]byte(`{"name":"a"}`), "", ""); err != nil || s.Flags != (Flags{External: true}) {
		t.Errorf("%+v %v", s, err)
	}
}

func TestDescribeRefuses(t *testing.T) {
	for line, want := range map[string]string{
		`nonsense`: "protocol description:", ``: "protocol description:", `[]`: "protocol description:",
		`{}`: "name", `{"name":"a b"}`: "name", `{"name":"static"}`: "built in", `{"name":"none"}`: "built in",
		`{"name":"x","config":[["a"]]}`: "config[0]", `{"name":"x","config":[["a",2]]}`: "no type 2",
		`{"name":"x","config":[["",3]]}`: "no name", `{"name":"x","config":[[5,3]]}`: "name", `{"name":"x","config":[["a","b"]]}`: "type",
		`{"name":"x","no-device":"yes"}`:                                         "no bool",
		`{"name":"x","config":[` + strings.Repeat(`["a",3],`, 600) + `["b",3]]}`: "601 options",
	} {
		if _, err := Describe([]byte(line), "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", line, err, want)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	f.Add([]byte(`{"name":"x","config":[["a:b",3]],"no-device":true}`))
	f.Add([]byte(`{"name":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Describe(b, "./x", "/")
		if err == nil && (s.New() == nil || s.Name == "" || !s.Flags.External) {
			t.Errorf("%+v", s)
		}
	})
}
