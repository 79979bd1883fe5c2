package ubus

import (
	"context"
	"log/slog"
)

// Bus is what a daemon needs of ubus, whether it serves the bus itself or is a
// client of a broker in another process. No method blocks on a client, nor on
// the broker.
type Bus interface {
	// AddObject puts an object on the bus. It fails when this daemon has an
	// object at path already or a name is empty; whether another process holds
	// the path shows in the log only, as the broker's answer is not awaited.
	AddObject(path string, methods []Method, handler Handler) error
	// RemoveObject takes an object of this daemon off the bus.
	RemoveObject(path string) error
	// Notify sends a notification of an object of this daemon to its
	// subscribers, who do not reply.
	Notify(path, name string, data Table) error
	// Event sends an event to all who listen for its name.
	Event(name string, data Table)
	// HasSubscribers says whether someone subscribed to an object of ours.
	HasSubscribers(path string) bool
	// Embedded returns the broker that this process runs, nil if it is a client.
	Embedded() *Broker
	// Close leaves the bus and waits for its goroutines. A handler must not
	// call it.
	Close() error
}

// BusOptions configure Open. The zero value of a field means its default.
type BusOptions struct {
	Path   string // socket, default DefaultSocket
	Broker BrokerOptions
	Log    *slog.Logger // default slog.Default()
}

// Open joins the bus at opt.Path: as a client when a broker listens there,
// else by serving the bus, see ListenOrDial. A client that loses its broker
// goes on trying to reach one, after nothing at first and then up to 2 s, and
// puts its objects there again.
func Open(ctx context.Context, opt BusOptions) (Bus, error) {
	if opt.Path == "" {
		opt.Path = DefaultSocket
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.Broker.Log == nil {
		opt.Broker.Log = opt.Log
	}
	l, client, err := ListenOrDial(ctx, opt.Path)
	if err != nil {
		return nil, err
	}
	if client != nil {
		return newPeer(opt.Path, client, opt.Log), nil
	}
	b := NewBroker(opt.Broker)
	go func() {
		if err := b.Serve(l); err != nil {
			opt.Log.Error("ubus broker: ended", "err", err)
		}
	}()
	return embedded{b}, nil
}

// embedded is the Bus of a daemon that serves the bus itself.
type embedded struct{ *Broker }

func (e embedded) Embedded() *Broker { return e.Broker }
