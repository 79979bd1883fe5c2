package api

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

// upCore has interfaces that are up at once: their protocol needs no device.
func upCore(t *testing.T, now time.Time) *core.Core {
	t.Helper()
	spec := proto.Builtin()["none"]
	spec.Flags = proto.Flags{Immediate: true, NoDevice: true}
	c := core.New(core.Options{Protos: proto.Registry{"none": spec, "static": proto.Builtin()["static"]}})
	cfg := &config.Config{Interfaces: []*config.Interface{{Name: "a", Proto: "none", Auto: true}, {Name: "b", Proto: "none", Auto: true, Metric: 3},
		{Name: "down", Proto: "none"}}}
	for todo := []core.Event{core.Configured{Config: cfg}}; len(todo) > 0; todo = todo[1:] {
		for _, a := range c.Step(now, todo[0]) {
			switch a := a.(type) {
			case core.Subscribe:
				todo = append(todo, core.Subscribed{Epoch: a.Epoch})
			case core.Dump:
				todo = append(todo, core.DumpDone{Epoch: a.Epoch, Kind: a.Kind, Complete: true})
			}
		}
	}
	if c.Interface("a").State() != iface.Up {
		t.Fatalf("a is %s", c.Interface("a").State())
	}
	return c
}

// TestKeptAnswersAreNotStale: at any moment, after any change, a kept answer is
// octet for octet what would be made now.
func TestKeptAnswersAreNotStale(t *testing.T) {
	now := time.Unix(1000, 0)
	c := upCore(t, now)
	rng := rand.New(rand.NewPCG(1, 1))
	var k cache
	hits := 0
	for i := range 3000 {
		now = now.Add(time.Duration(rng.IntN(700)) * time.Millisecond)
		name := []string{"a", "b", "down"}[rng.IntN(3)]
		switch rng.IntN(8) {
		case 0:
			v := []core.Verb{core.VerbUp, core.VerbDown, core.VerbRestart}[rng.IntN(3)]
			c.Step(now, core.Command{Verb: v, Interface: name})
		case 1:
			c.Step(now, core.Command{Do: &core.SetData{Interface: name, Data: map[string]any{"n": int32(i), "uptime": int32(7)}}})
		case 2:
			c.Step(now, core.Tick{})
		}
		for _, n := range c.Interfaces() {
			want := InterfaceStatus(c, c.Interface(n), now).Encode()
			check := func(got []byte) {
				if !bytes.Equal(got, want) {
					t.Fatalf("step %d: %s:\n%s\nwant\n%s", i, n, ubus.AppendJSON(nil, ubus.DecodeTable(got), false), ubus.AppendJSON(nil, ubus.DecodeTable(want), false))
				}
			}
			if k.with(n, c.Version(), now, check) {
				hits++
			}
			one, _ := k.status(c, c.Interface(n), c.Version(), now)
			check(one.data)
		}
		want := Dump(c, now).Encode()
		check := func(got []byte) {
			if !bytes.Equal(got, want) {
				t.Fatalf("step %d: dump:\n%s\nwant\n%s", i, ubus.AppendJSON(nil, ubus.DecodeTable(got), false), ubus.AppendJSON(nil, ubus.DecodeTable(want), false))
			}
		}
		if k.with("", c.Version(), now, check) {
			hits++
		}
		check(k.all(c, c.Version(), now).data)
	}
	if hits < 3000 {
		t.Errorf("only %d answers were kept ones", hits)
	}
}

// TestCountsDown: what counts down is not kept.
func TestCountsDown(t *testing.T) {
	for text, want := range map[string]bool{
		`{"up":true,"ipv6-address":[{"address":"::1","mask":64}]}`:                                 false,
		`{"ipv6-address":[{"address":"::1","preferred":5}]}`:                                       true,
		`{"ipv6-prefix-assignment":[{"local-address":{"address":"::1"},"valid":9}]}`:               true,
		`{"inactive":{"route":[{"valid":1}]}}`:                                                     true,
		`{"data":{"valid":1,"preferred":2}}`:                                                       false,
		`{"ipv6-prefix":[{"class":"x","assigned":{"lan":{"address":"::"}}}],"route":[],"data":{}}`: false,
	} {
		v, err := ubus.FromJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := counts(v); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// TestStatusAfterCommand: who has the answer to a command sees in the next
// status what it has done.
func TestStatusAfterCommand(t *testing.T) {
	b := newBench(t)
	b.call("network.interface.a", "status", nil) // kept from now on
	for i := range 200 {
		data := ubus.Table{{Name: "n", Value: int32(i)}}
		b.call("network.interface.a", "set_data", data)
		got, _ := b.call("network.interface.a", "status", nil)
		want := string(ubus.AppendJSON(nil, ubus.Table{{Name: "data", Value: data}}, false))
		if !bytes.Contains([]byte(got), []byte(want[1:len(want)-1])) {
			t.Fatalf("after %s: %s", want, got)
		}
	}
}
