package api

import (
	"errors"
	"os"
	"time"

	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/internal/mirror"
	"netbraid/rtnl"
	"netbraid/ubus"
)

// maxListed bounds the problems and errors in one answer; "more" counts the
// others.
const maxListed = 1000

// ownTable serves the object netbraid.
func (s *Server) ownTable() map[string]handler {
	return map[string]handler{"status": s.ownStatus, "reload": s.ownReload, "errors": s.ownErrors}
}

func (s *Server) ownStatus(r *ubus.Request) {
	s.onLoop(r, func(c *core.Core, now time.Time) {
		up := 0
		names := c.Interfaces()
		for _, n := range names {
			if c.Interface(n).State() == iface.Up {
				up++
			}
		}
		present := 0
		devs := c.Graph().Names()
		for _, n := range devs {
			if c.Graph().Present(n) {
				present++
			}
		}
		s.reply(r, ubus.Table{
			{Name: "version", Value: s.o.Version},
			{Name: "pid", Value: int32(os.Getpid())},
			{Name: "uptime", Value: int32(now.Sub(s.started) / time.Second)},
			{Name: "settled", Value: c.IsSettled()},
			{Name: "counts", Value: ubus.Table{
				{Name: "interfaces", Value: int32(len(names))},
				{Name: "interfaces-up", Value: int32(up)},
				{Name: "devices", Value: int32(len(devs))},
				{Name: "devices-present", Value: int32(present)},
				{Name: "errors", Value: int32(len(c.Planner().Failures("")))},
			}},
			{Name: "mirror", Value: mirrorStatus(c.Mirror())},
		})
	})
}

func mirrorStatus(e *mirror.Engine) ubus.Table {
	st := e.Stats()
	live := ubus.Table{}
	for _, k := range []rtnl.Kind{rtnl.KindLink, rtnl.KindAddr, rtnl.KindRule, rtnl.KindRoute} {
		live = append(live, ubus.Field{Name: k.String(), Value: e.Live(k)})
	}
	return ubus.Table{
		{Name: "live", Value: live},
		{Name: "messages", Value: int64(st.Messages)},
		{Name: "ignored", Value: int64(st.Ignored)},
		{Name: "malformed", Value: int64(st.Malformed)},
		{Name: "losses", Value: int64(st.Losses)},
		{Name: "resyncs", Value: int64(st.Resyncs)},
		{Name: "changes", Value: int64(st.Changes)},
		{Name: "last-resync-ms", Value: int64(st.LastResync / time.Millisecond)},
	}
}

// ownReload answers what is wrong in full; the status is OK also when the
// configuration is refused, because ubus hands on no data with an error.
func (s *Server) ownReload(r *ubus.Request) {
	s.onLoop(r, func(*core.Core, time.Time) {
		err := s.back.Reload()
		list, more := ubus.Array{}, 0
		var bad refused
		switch {
		case errors.As(err, &bad):
			list, more = problemList(bad.Refused())
		case err != nil:
			list = append(list, ProblemTable(config.Problem{Severity: config.Error, Reason: err.Error()}))
		}
		s.reply(r, ubus.Table{{Name: "ok", Value: err == nil}, {Name: "problems", Value: list}, {Name: "more", Value: int32(more)}})
	})
}

// ProblemTable is a problem of the configuration as programs read it.
func ProblemTable(p config.Problem) ubus.Table {
	severity, text := "warning", p.Reason
	if p.Severity == config.Error {
		severity = "error"
	}
	if p.Pos.File != "" {
		text = p.String()
	}
	return ubus.Table{
		{Name: "file", Value: p.Pos.File}, {Name: "line", Value: int32(p.Pos.Line)}, {Name: "severity", Value: severity},
		{Name: "section", Value: p.Section}, {Name: "option", Value: p.Option}, {Name: "value", Value: p.Value},
		{Name: "reason", Value: p.Reason}, {Name: "allowed", Value: p.Allowed}, {Name: "text", Value: text},
	}
}

// ownErrors lists every operation that did not have its effect.
func (s *Server) ownErrors(r *ubus.Request) {
	s.onLoop(r, func(c *core.Core, _ time.Time) {
		list := ubus.Array{}
		failures := c.Planner().Failures("")
		more := max(0, len(failures)-maxListed)
		for _, f := range failures[:len(failures)-more] {
			list = append(list, ubus.Table{
				{Name: "owner", Value: f.Owner}, {Name: "code", Value: f.Code}, {Name: "object", Value: f.Object},
				{Name: "message", Value: f.Message}, {Name: "attempts", Value: int32(f.Attempts)}})
		}
		s.reply(r, ubus.Table{{Name: "errors", Value: list}, {Name: "more", Value: int32(more)}})
	})
}
