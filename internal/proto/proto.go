package proto

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/config"
)

// Flags say what a protocol needs and does (netifd's PROTO_FLAG_*).
type Flags struct {
	// Immediate: setup and teardown need no waiting; the core makes the
	// events of both.
	Immediate bool
	// NoDevice: the protocol needs no main device.
	NoDevice bool
	// MovesL3: the protocol makes a layer 3 device of its own (PPP, tunnels);
	// the main device carries no addresses of the interface.
	MovesL3 bool
	// Renew: the handler knows Renew.
	Renew bool
}

// Spec describes one protocol.
type Spec struct {
	Name  string
	Flags Flags
	// New makes a handler for one interface.
	New func() Handler
}

// InputKind is what an interface tells its handler.
type InputKind uint8

// The inputs of every handler.
const (
	// Setup: configure; answered, now or later, by Offered or Failed.
	Setup InputKind = iota
	// Reconfigure: the configuration has changed in a way that needs no
	// restart; answered by Offered when what is offered has changed.
	Reconfigure
	// Teardown: stop; answered by Finished. With Force at once, leaving
	// nothing behind, whatever was going on.
	Teardown
	// Renew: ask again for what was leased.
	Renew
	// Timer: the time asked for by WakeAt has come.
	Timer
	// Message: something from outside for this handler, in Payload.
	Message
)

// Input is one input of a handler.
type Input struct {
	Kind    InputKind
	Now     time.Time
	Config  *config.Interface
	Device  string // name of the main device
	Ifindex uint32
	Force   bool
	Payload any
}

// OutputKind is what a handler tells its interface.
type OutputKind uint8

// The outputs.
const (
	Offered  OutputKind = iota // the interface can be up with this
	Failed                     // setup has failed; the interface backs off and tries again
	Lost                       // what was offered is no longer valid; setup goes on
	Finished                   // torn down
	WakeAt                     // call with Timer then
)

// Output is one output of a handler.
type Output struct {
	Kind    OutputKind
	Offer   *Offer
	Code    string // Failed: netifd's error code
	Data    []string
	Message string
	At      time.Time
}

// Offer is everything that a protocol configures on an interface.
type Offer struct {
	config.Static
	Routes    []config.Route
	DNS       []netip.Addr
	DNSSearch []string
	// L3Device is what traffic goes through when that is not the main device.
	L3Device string
	Data     map[string]string
}

// Handler runs one protocol on one interface.
type Handler interface {
	Handle(in Input) []Output
}

// Registry is the set of protocols that a daemon knows.
type Registry map[string]Spec

// Builtin has the protocols that are part of netbraid.
func Builtin() Registry {
	return Registry{
		"static": {Name: "static", Flags: Flags{Immediate: true}, New: func() Handler { return static{} }},
		"none":   {Name: "none", Flags: Flags{Immediate: true}, New: func() Handler { return none{} }},
	}
}

// Names lists the protocols, sorted.
func (r Registry) Names() []string { return slices.Sorted(maps.Keys(r)) }

// static offers what its section says.
type static struct{}

func (static) Handle(in Input) []Output {
	switch in.Kind {
	case Setup, Reconfigure:
		if in.Config.Static == nil {
			return []Output{{Kind: Offered, Offer: &Offer{}}}
		}
		return []Output{{Kind: Offered, Offer: &Offer{Static: *in.Config.Static}}}
	case Teardown:
		return []Output{{Kind: Finished}}
	}
	return nil
}

// none brings the device up and configures nothing on it.
type none struct{}

func (none) Handle(in Input) []Output {
	switch in.Kind {
	case Setup, Reconfigure:
		return []Output{{Kind: Offered, Offer: &Offer{}}}
	case Teardown:
		return []Output{{Kind: Finished}}
	}
	return nil
}
