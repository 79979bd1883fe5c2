// Package api gives the ubus objects that OpenWrt's netifd has (network,
// network.device, network.interface and one for each interface), and
// netbraid's own. Answers come from snapshots of the core; what nobody needs
// to remember (statistics, link modes) is read when it is asked for, beside
// the daemon's loop. Nothing here decides how the network is to be.
//
// Every method of netifd is published. These are not built yet: they answer
// "Operation not supported" (8) and leave a line in the log:
//
//	network            add_host_route, add_dynamic, netns_updown
//	network.device     set_alias, set_state, stp_init
//	network.interface  add_device, remove_device, set_data
//
// prepare tells whether the interface is on a bridge; it does not yet bring up
// a bridge that has no port. notify_proto answers 8 for protocols that have no
// handler outside, as netifd does.
//
// # Object netbraid
//
//	status  version, pid, uptime, settled, counts of objects, mirror statistics
//	reload  {"ok": bool, "problems": [{"file", "line", "severity", "section",
//	        "option", "value", "reason", "allowed", "text"}], "more": n}
//	errors  {"errors": [{"owner", "code", "object", "message", "attempts"}], "more": n}
//
// # Object netbraid.mirror
//
//	status  {"namespaces": [{"ns", "state" (live, synchronising, waiting),
//	        "retry-in-ms" (waiting only), "kinds": {KIND: {"live", "objects",
//	        "bytes" (0 where it is not counted)}}, "messages", "ignored",
//	        "malformed", "changes", "losses", "incomplete-dumps", "resyncs",
//	        "last-resync-ms", "lag-ms", "buffer" (of the socket, where it is
//	        known), "parameters": {…}}]}
//
// An answer about very many objects that does not fit into one message of the
// bus (1 MiB) is refused with Out of memory (11); network.device status of all
// devices leaves out settings, then link modes, then bridge attributes first.
package api
