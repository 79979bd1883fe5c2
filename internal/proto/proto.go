package proto

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"netbraid/internal/config"
	"netbraid/rtnl"
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

	// External: the handler is a program outside; what follows is of such
	// handlers alone.
	External bool
	// InitAvailable: an interface that needs no device is available until the
	// handler says otherwise.
	InitAvailable bool
	// NoDeviceConfig: device options in the interface section are not applied.
	NoDeviceConfig bool
	// Restart: the handler knows Restart.
	Restart bool
	// NoTask: the setup program may end without having started a task.
	NoTask bool
	// LastError: errors outlive a new `up`.
	LastError bool
	// TeardownOnL3LinkDown: the interface is torn down when the layer 3 device
	// loses its carrier.
	TeardownOnL3LinkDown bool
}

// Spec describes one protocol.
type Spec struct {
	Name  string
	Flags Flags
	// New makes a handler for one interface.
	New func() Handler
	// Options are the protocol's own options, in the order in which the
	// handler lists them; of handlers outside.
	Options []Option
}

// Option is an option that a protocol calls its own.
type Option struct {
	Name      string
	Type      config.Type
	Validator string // for user interfaces: "ip4addr", "list(string)"; may be empty
}

// Config is what the configuration must know of the protocol.
func (s *Spec) Config() config.Proto {
	c := config.Proto{Options: map[string]config.Type{}}
	for _, o := range s.Options {
		c.Options[o.Name] = o.Type
	}
	return c
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
	// Message: something from outside for this handler, in Payload. The answer
	// to a *Notify is an Answer.
	Message
	// Restart: configure anew without going down; of handlers whose flags
	// have it.
	Restart
	// Ended: the program in Slot has ended, as Exit says.
	Ended
	// L3Gone: the layer 3 device that was offered has gone, has lost its
	// carrier (see TeardownOnL3LinkDown), or has not come.
	L3Gone
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
	Exit    Exit
}

// Exit is how a program has ended.
type Exit struct {
	Slot   Slot
	Code   int    // exit status; -1 when a signal ended it, or nobody knows
	Signal int    // what ended it, 0 for none
	Reason string // why it could not be started, empty when it could
}

// Slot is one of the two programs that a handler can have running.
type Slot string

// The slots.
const (
	Script Slot = "script" // the handler's own setup, teardown, renew or restart
	Task   Slot = "task"   // what it has asked to be kept running
)

// OutputKind is what a handler tells its interface.
type OutputKind uint8

// The outputs.
const (
	Offered  OutputKind = iota // the interface can be up with this
	Failed                     // setup has failed; the interface backs off and tries again
	Lost                       // what was offered is no longer valid; setup goes on
	Finished                   // torn down
	WakeAt                     // call with Timer then; a zero time ends the wait

	// What follows is of handlers outside.

	Run          // start a program in Slot: Args, Env, Dir
	Stop         // send Signal to the program in Slot, and to all that it has started
	Report       // an entry of errors[]: Code, Data, Message
	BlockRestart // the interface is not started again by itself
	SetAvailable // the interface is Available, or is not
	HostRoute    // the interface needs the way to Host, over Interface if that is given
	Note         // Message is for the log
	Sweep        // end what programs of the interface have left behind
	Answer       // Status for who has sent the message
)

// Output is one output of a handler.
type Output struct {
	Kind    OutputKind
	Offer   *Offer
	Code    string // Failed: netifd's error code
	Data    []string
	Message string
	At      time.Time

	Slot      Slot
	Args      []string // of a program; Args[0] is its path, or is looked up
	Env       []string // NAME=VALUE, added to what every program gets
	Dir       string   // working directory
	Signal    int
	Available bool
	Host      netip.Addr // invalid: only the interface matters
	Interface string
	Status    Status
}

// Status answers a message, in the numbers of ubus.
type Status uint8

// The answers.
const (
	StatusOK       Status = 0
	StatusInvalid  Status = 2 // the message is malformed
	StatusNotFound Status = 4
	StatusDenied   Status = 6 // not in this state
)

// Offer is everything that a protocol configures on an interface.
type Offer struct {
	config.Static
	Routes    []config.Route
	DNS       []netip.Addr
	DNSSearch []string
	// L3Device is what traffic goes through when that is not the main device.
	L3Device string
	// Tunnel: the layer 3 device is to be made so; nil when the handler has
	// made it.
	Tunnel *Tunnel
	// AddressExternal: the addresses are on the device already, and are not
	// ours to set or remove.
	AddressExternal bool
	Neighbors       []Neighbor
	Data            []Field // sorted by name
}

// Neighbor is an entry of the neighbour table that a handler asks for.
type Neighbor struct {
	Addr   netip.Addr
	MAC    rtnl.HWAddr // zero with Proxy
	Proxy  bool
	Router bool
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
