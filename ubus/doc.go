// Package ubus speaks OpenWrt's inter-process bus: its wire format (blob and
// blobmsg), the client side, the broker that stands in for ubusd.
//
// What lives here: the codec (pure: blob.go, blobmsg.go, value.go, message.go,
// json_in.go, json_out.go), Client, Broker, the access lists, and Bus, which
// hides from a daemon whether it serves the bus itself or is a client of a
// ubusd that runs already. What must not: any knowledge of what the objects
// mean. The command line is in internal/ubuscmd.
//
// # For daemons
//
//	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: ubus.DefaultSocket})
//	err = bus.AddObject("network", methods, func(r *ubus.Request) {
//		name, ok := r.Args().String("name") // a wrong type reads as absent
//		r.Reply(ubus.Table{{Name: "up", Value: true}})
//		f := r.TakeFD()       // ours to close; nil if none came. Done closes what is not taken
//		r.Done(ubus.StatusOK) // now, or later from any goroutine
//	})
//	if bus.HasSubscribers("network.interface") { // else Notify does nothing
//		bus.Notify("network.interface", "interface.update", data)
//	}
//	bus.Event("network.interface", data)
//	if b := bus.Embedded(); b != nil {
//		b.ReloadACL()
//	}
//	bus.Close()
//
// As embedded broker a handler runs on the goroutine that reads the caller's
// connection, as client on one goroutine for all calls: a handler that hands
// the request to the daemon's own loop and returns is right in both cases.
//
// # Deliberate differences from ubusd
//
// A client that does not read is disconnected with a log line when its queue
// is full (ubusd drops single messages in silence), one that reads too slowly
// at four times that; a LOOKUP of everything waits for its own reader instead.
// Objects and subscriptions per client are
// limited, so are the descriptors that wait for one reader. A server of ours
// whose reply is too large answers with an error and stays (libubus sends it,
// and ubusd drops the server). Supplementary groups come from the socket
// (SO_PEERGROUPS), not from /proc.
package ubus
