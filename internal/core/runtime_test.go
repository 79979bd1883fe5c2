package core_test

import (
	"strings"
	"testing"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/proto"
)

// waiter is a protocol that waits for somebody else and offers nothing.
type waiter struct{}

func (waiter) Handle(in proto.Input) []proto.Output {
	if in.Kind == proto.Teardown {
		return []proto.Output{{Kind: proto.Finished}}
	}
	return nil
}

// TestDuplicateDynamicInterfaceIsRefused: a connection that adds its client
// for IPv6 beside one that a section has is what sends netifd into an endless
// loop (openwrt/netifd#72, first of netifd's asks). It is refused, with a line
// that names the other.
func TestDuplicateDynamicInterfaceIsRefused(t *testing.T) {
	protos := proto.Builtin()
	protos["dhcpv6"] = proto.Spec{Name: "dhcpv6", New: func() proto.Handler { return waiter{} }}
	c := core.New(core.Options{Protos: protos})
	now := time.Unix(1000, 0)
	base := &config.Config{Interfaces: []*config.Interface{{Name: "wan", Proto: "none", Device: "eth0", Auto: true},
		{Name: "wan6", Proto: "dhcpv6", Device: "@wan", Auto: true}}}
	c.Step(now, core.Configured{Config: base})
	add := func(name, proto, device string) (core.Status, string) {
		one := &config.Single{Interface: &config.Interface{Name: name, Proto: proto, Device: device, Auto: true,
			Options: []config.Option{{Name: "proto", Values: []string{proto}}, {Name: "device", Values: []string{device}}}}}
		st, log := core.Status(255), ""
		for _, a := range c.Step(now, core.Command{ID: 1, Do: &core.AddDynamic{Single: one}}) {
			switch a := a.(type) {
			case core.Reply:
				st = a.Status
			case core.Log:
				for _, x := range a.Args {
					if s, ok := x.(string); ok {
						log += s + " "
					}
				}
			}
		}
		return st, log
	}
	if st, log := add("wan_6", "dhcpv6", "@wan"); st != core.InvalidArgument || !strings.Contains(log, "other wan6") {
		t.Errorf("a second client on one device: status %d, log %q", st, log)
	}
	if c.Interface("wan_6") != nil {
		t.Error("the refused interface is there")
	}
	if st, _ := add("wan_4", "none", "@wan"); st != core.OK {
		t.Errorf("another protocol: status %d", st)
	}
	if st, _ := add("wan", "none", "eth7"); st != core.InvalidArgument {
		t.Errorf("the name of a section: status %d", st)
	}
	if st, _ := add("lan_6", "dhcpv6", "@lan"); st != core.OK {
		t.Errorf("the same protocol on another device: status %d", st)
	}
	if st, _ := add("lan_6", "dhcpv6", "@lan"); st != core.OK {
		t.Errorf("said again: status %d", st)
	}
	// A section of that name takes the place of what was added.
	next := *base
	next.Interfaces = append(append([]*config.Interface{}, base.Interfaces...), &config.Interface{Name: "wan_4", Proto: "none", Device: "@wan", Auto: true})
	c.Step(now, core.Configured{Config: &next})
	if c.Dynamic("wan_4") || c.Interface("wan_4") == nil || c.Interface("wan_4").Dynamic || !c.Dynamic("lan_6") {
		t.Error("a section of the same name does not take over")
	}
}
