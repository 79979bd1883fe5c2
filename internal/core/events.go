package core

import (
	"netbraid/internal/config"
	"netbraid/internal/iface"
	"netbraid/internal/mirror"
	"netbraid/internal/model"
	"netbraid/internal/plan"
	"netbraid/rtnl"
)

// Event is something that happened outside.
type Event interface{ isEvent() }

// Action is something that the shell is to do.
type Action interface{ isAction() }

// The events. Those of the kernel carry the epoch of the subscription that
// they belong to.
type (
	// Subscribed: a new notification socket is open.
	Subscribed struct {
		NS    model.NS
		Epoch uint32
	}
	// Lost: notifications were lost (ENOBUFS), or the socket broke. Err says
	// why there is no socket.
	Lost struct {
		NS    model.NS
		Epoch uint32
		Err   error
	}
	// Notified: one or more whole notification messages.
	Notified struct {
		NS    model.NS
		Epoch uint32
		Data  []byte
	}
	// Dumped: a datagram of a dump.
	Dumped struct {
		NS    model.NS
		Epoch uint32
		Data  []byte
	}
	// DumpDone: a dump has ended. It comes after every notification that was
	// queued when it did.
	DumpDone struct {
		NS                    model.NS
		Epoch                 uint32
		Kind                  rtnl.Kind
		Complete, Interrupted bool
	}
	// Wrote: operations of one Write have been done or have failed. It comes
	// after every notification that they caused.
	Wrote struct{ Results []plan.Result }
	// SysctlValue: the answer to a read.
	SysctlValue struct {
		Key   model.SysctlKey
		Value string
		Err   error
	}
	// Configured: a configuration that may be used (at boot perhaps with
	// sections that show their errors).
	Configured struct {
		Config *config.Config
		// Partial: sections are missing because they are wrong. What an earlier
		// process has made for one stays.
		Partial bool
	}
	// Command: somebody asks for something; answered by Reply with its ID.
	Command struct {
		ID        uint64
		Verb      Verb
		Do        Request // in place of a Verb
		Interface string
		Device    string
	}
	// Delivered: a message for the protocol handler of an interface.
	Delivered struct {
		Interface string
		Payload   any
	}
	// Tick: nothing but time has passed.
	Tick struct{}
)

func (Subscribed) isEvent()  {}
func (Lost) isEvent()        {}
func (Notified) isEvent()    {}
func (Dumped) isEvent()      {}
func (DumpDone) isEvent()    {}
func (Wrote) isEvent()       {}
func (SysctlValue) isEvent() {}
func (Configured) isEvent()  {}
func (Command) isEvent()     {}
func (Delivered) isEvent()   {}
func (Tick) isEvent()        {}

// Verb is what a Command asks for.
type Verb uint8

// The verbs.
const (
	VerbUp Verb = iota
	VerbDown
	VerbRestart
	VerbRenew
	VerbRemove
	VerbRestartAll
	VerbTeardown // take everything down that is ours
)

// Status is the outcome of a Command, in ubus' numbers.
type Status uint8

// The outcomes.
const (
	OK              Status = 0
	InvalidArgument Status = 2
	NotFound        Status = 4
	NotSupported    Status = 8
	UnknownError    Status = 9
)

// The actions, to be done in the order given.
type (
	// Subscribe: open a notification socket (closing the one before unread).
	Subscribe struct {
		NS    model.NS
		Epoch uint32
	}
	// Dump: read a table.
	Dump struct {
		NS     model.NS
		Epoch  uint32
		Kind   rtnl.Kind
		Family uint8 // AF_* to read; 0 for all
	}
	// OpenNS: NS is the namespace at Path from now on, to be opened by the next
	// Subscribe; for the daemon's own (0) only the limits are new.
	OpenNS struct {
		NS     model.NS
		Path   string
		Params mirror.Params
	}
	// CloseNS: nothing more is wanted of the namespace.
	CloseNS struct{ NS model.NS }
	// Record: write this down before what follows is done.
	Record struct{ Records []plan.Record }
	// Write: do these operations, in order.
	Write struct{ Ops []*plan.Op }
	// ReadSysctl: read these settings; Devices has the name of each link.
	ReadSysctl struct {
		Keys    []model.SysctlKey
		Devices []string
	}
	// Publish: make known what happened to an interface.
	Publish struct {
		Interface string
		Notice    iface.Notice
		Device    string        // the layer 3 device now, empty for none
		Updated   iface.Updated // of an IfUpdate: what it has changed
	}
	// Published device events, for ubus notifications.
	DeviceEvent struct {
		Device string
		Event  string
	}
	// Objects: an interface has come (or gone) as an object of the API.
	Object struct {
		Interface string
		Gone      bool
	}
	// Reply answers a Command.
	Reply struct {
		ID     uint64
		Status Status
	}
	// Settled: the configuration is in place as far as it can be.
	Settled struct{}
	// Log: one line for people.
	Log struct {
		Level   int // as log/slog
		Message string
		Args    []any
	}
)

func (Subscribe) isAction()   {}
func (Dump) isAction()        {}
func (OpenNS) isAction()      {}
func (CloseNS) isAction()     {}
func (Record) isAction()      {}
func (Write) isAction()       {}
func (ReadSysctl) isAction()  {}
func (Publish) isAction()     {}
func (DeviceEvent) isAction() {}
func (Object) isAction()      {}
func (Reply) isAction()       {}
func (Settled) isAction()     {}
func (Log) isAction()         {}
