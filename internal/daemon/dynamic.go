package daemon

import (
	"netbraid/internal/config"
	"netbraid/internal/core"
	"netbraid/internal/proto"
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
	return config.ParseInterface(name, options, d.core.Base(name), "ubus", opts)
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
