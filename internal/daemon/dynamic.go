package daemon

import (
	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/proto"
	"netbraid/internal/store"
)

// parseOptions is what the parser of the configuration must know.
func parseOptions(protos proto.Registry) config.Options {
	return config.Options{Protos: configProtos(protos), RouteTable: routeTable, RouteProto: routeProto}
}

// ParseInterface makes an interface of options as a section would have them,
// beside the configuration in force. Only to be called on the loop.
func (d *Daemon) ParseInterface(name string, options []config.Option) (*config.Single, []config.Problem) {
	opts := parseOptions(d.o.Protos)
	opts.Aliases = d.core.Names()
	return config.ParseInterface(name, options, d.core.Base(name), config.RunTime, opts)
}

// Version changes with whatever is shown of interfaces (core.Version). It may
// be called from any goroutine.
func (d *Daemon) Version() uint64 { return d.version.Load() }

// MoveLinks moves links to the network namespace of the descriptor fd, or back
// from it, each under the name that the move says. done comes on another
// goroutine, with one error for each; fd stays open until then.
func (d *Daemon) MoveLinks(fd int, moves []core.Move, back bool, done func([]error)) {
	d.kern.MoveLinks(fd, moves, back, done)
}

// ReadAsked gives what callers have asked the last process for, to be restored
// after the configuration cfg; nil when there is nothing. What cannot be used
// any more is among the problems and left out.
func ReadAsked(runDir string, cfg *config.Config, protos proto.Registry) (*core.Restore, []config.Problem, error) {
	r := &core.Restore{}
	there, err := store.ReadAsked(runDir, &r.Asked)
	if !there || err != nil {
		return nil, nil, err
	}
	opts := parseOptions(protos)
	opts.Aliases = map[string]bool{}
	for n := range r.Asked.Aliases {
		opts.Aliases[n] = true
	}
	var all []config.Problem
	for _, i := range r.Asked.Interfaces {
		one, problems := config.ParseInterface(i.Name, i.Options, cfg.With(r.Interfaces), "asked for before the restart", opts)
		if config.HasErrors(problems) {
			all = append(all, problems...)
			continue
		}
		r.Interfaces = append(r.Interfaces, one)
	}
	return r, all, nil
}

// askedNames gives what may stand behind @ because callers have asked the last
// process for it.
func askedNames(runDir string) map[string]bool {
	var a core.Asked
	out := map[string]bool{}
	if there, err := store.ReadAsked(runDir, &a); !there || err != nil {
		return out // said by restore
	}
	for _, i := range a.Interfaces {
		out[i.Name] = true
	}
	for n := range a.Aliases {
		out[n] = true
	}
	return out
}

// restore takes over what callers have asked an earlier process for.
func (d *Daemon) restore(cfg *config.Config) {
	r, problems, err := ReadAsked(d.o.RunDir, cfg, d.o.Protos)
	d.logProblems(problems)
	if err != nil {
		d.log.Warn("what callers had asked for is lost", "error", err)
	}
	if r != nil {
		d.step(core.Command{Do: r})
	}
}

// saveAsked writes down what callers have asked for, when it has changed.
func (d *Daemon) saveAsked() {
	v := d.core.AskedVersion()
	if v == d.asked {
		return
	}
	d.asked = v
	if err := store.SaveAsked(d.o.RunDir, d.core.Asked()); err != nil {
		d.log.Warn("the next process will not know what callers have asked for", "error", err)
	}
}
