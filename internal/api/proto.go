package api

import (
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/proto"
	"netbraid/ubus"
)

// notifyProto takes a message of a protocol handler. The answer is the
// handler's own, Not supported for a protocol that has no handler outside.
func (s *Server) notifyProto(r *ubus.Request, _ *core.Core, m *iface.Machine, _ time.Time) {
	s.finish(r, &core.Notify{Interface: m.Config.Name, Message: &proto.Notify{Fields: fieldsOf(r.Args())}})
}

// fieldsOf turns a message of the bus into one of a handler; values that no
// handler sends are left out.
func fieldsOf(t ubus.Table) []proto.Field {
	out := make([]proto.Field, 0, len(t))
	for _, f := range t {
		if v, ok := valueFrom(f.Value); ok {
			out = append(out, proto.Field{Name: f.Name, Value: v})
		}
	}
	return out
}

func valueFrom(v any) (any, bool) {
	switch v := v.(type) {
	case string, int64, bool, float64, nil:
		return v, true
	case int32:
		return int64(v), true
	case int16:
		return int64(v), true
	case int8:
		return int64(v), true
	case ubus.Table:
		return fieldsOf(v), true
	case ubus.Array:
		out := make([]any, 0, len(v))
		for _, e := range v {
			x, _ := valueFrom(e) // the places of the others stay
			out = append(out, x)
		}
		return out, true
	}
	return nil, false
}

// tableOf turns the data of a handler back into a message of the bus.
func tableOf(fields []proto.Field) ubus.Table {
	out := make(ubus.Table, 0, len(fields))
	for _, f := range fields {
		out = append(out, ubus.Field{Name: f.Name, Value: valueTo(f.Value)})
	}
	return out
}

func valueTo(v any) any {
	switch v := v.(type) {
	case int64:
		if int64(int32(v)) == v {
			return int32(v)
		}
	case []proto.Field:
		return tableOf(v)
	case []any:
		out := make(ubus.Array, 0, len(v))
		for _, e := range v {
			out = append(out, valueTo(e))
		}
		return out
	}
	return v
}

// left is what is left of a lifetime, in seconds.
func left(end, now time.Time) int32 {
	return int32(min(max(end.Sub(now)/time.Second, 0), 1<<31-1))
}

// staticOptions are the options of static with their validators, as netifd
// publishes them.
var staticOptions = [][2]string{{"ipaddr", "ip4addr"}, {"ip6addr", "ip6addr"}, {"netmask", "netmask"},
	{"broadcast", "ipaddr"}, {"ptpaddr", "ip4addr"}, {"gateway", "ip4addr"}, {"ip6gw", "ip6addr"},
	{"ip6prefix", "ip6addr"}, {"ip6deprecated", "bool"}}

// protoHandlers lists the protocols but none, which is no handler in netifd.
func (s *Server) protoHandlers(r *ubus.Request) {
	out := ubus.Table{}
	for _, n := range s.o.Protos.Names() {
		if n != "none" {
			out = append(out, ubus.Field{Name: n, Value: protoHandler(s.o.Protos[n])})
		}
	}
	s.reply(r, out)
}

func protoHandler(p proto.Spec) ubus.Table {
	validate := ubus.Table{}
	if p.Name == "static" {
		for _, o := range staticOptions {
			validate = append(validate, ubus.Field{Name: o[0], Value: o[1]})
		}
	}
	for _, o := range p.Options {
		validate = append(validate, ubus.Field{Name: o.Name, Value: o.Validate()})
	}
	f := p.Flags
	return ubus.Table{
		{Name: "validate", Value: validate},
		{Name: "immediate", Value: f.Immediate},
		{Name: "no_device", Value: f.NoDevice},
		{Name: "init_available", Value: f.InitAvailable || f.NoDevice && !f.External},
		{Name: "renew_available", Value: f.Renew},
		{Name: "force_link_default", Value: p.Name == "static"},
		{Name: "last_error", Value: f.LastError},
		{Name: "teardown_on_l3_link_down", Value: f.TeardownOnL3LinkDown},
		{Name: "no_task", Value: f.NoTask},
	}
}
