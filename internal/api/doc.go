// Package api gives the ubus objects that OpenWrt's netifd has (network,
// network.device, network.interface and one for each interface), and
// netbraid's own. Answers come from snapshots of the core; what nobody needs
// to remember (statistics, link modes) is read when it is asked for, beside
// the daemon's loop. Nothing here decides how the network is to be.
//
// Every method of netifd is published and built. VLANs of bridge ports (arguments vlan, auth_vlans) are taken and have no effect yet; a log
// line says so. What differs from netifd on purpose:
//
//   - add_dynamic checks its options as those of a section, and refuses (2) a
//     name that a section has, and a second client of one protocol on one
//     device; said again under the same name it changes the interface
//   - device status of all devices that is too long for one message (1 MiB)
//     comes in several replies of the one call: the first has every device, the
//     others have the fields that it lacks, under the names of the devices
//   - each event is sent once
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
// # Object netbraid.pair
//
//	list    {"pairs": [{"name", "dataplane", "phy", "host", "netns", "sync",
//	        "auto_subif", "tun", "queues", "added" (at run time), "mpls" (when configured)}], "more": n}
//	status  {"dataplanes": [{"name", "type", "socket" or "netns", "state" (live,
//	        reading, connecting, waiting), "error", "retry-in-ms", "disconnected"
//	        (s without a connection), "since" (s in this state), "version",
//	        "missing", "pending", "in-flight", "lag-ms" (of the oldest operations
//	        that are not answered), "errors", "pairs": [{"name", "phy", "host",
//	        "netns", "state", "reason" (of one that waits), "parent", "vlan",
//	        "phy-index", "host-index", "tun", "attributes": {NAME: {"owner",
//	        "dataplane", "linux", "in-step"}}, "errors"}], "more": n, "fib":
//	        {"phase", "routes", "have", "differences", …, "skipped": [{"ns",
//	        "reason", "routes"}], "failed": [{"route", "table", "message",
//	        "attempts", "retry-in-ms"}]}, "leaving" (not configured any more)}],
//	        "left-behind" (what was made and could not be taken apart):
//	        [{"dataplane", "type", "place", "interfaces", "more": n, "reason"}]};
//	        with arguments dataplane and pair (its name, interface or companion)
//	        only those. Attributes are left out when there are more than 200
//	        pairs, pairs beyond 3,000 and interfaces left behind beyond 100 counted
//	add     {"ok", "problems", "more"} as reload; the arguments are the options of
//	        a section of type pair, and its name
//	del     only of a pair that add has added; Not supported (8) of one of the
//	        configuration
//
// # Object netbraid.ovs
//
//	status    {"bridges": [{"name", "backend", "there", "error", "datapath_type",
//	          "fail_mode", "controller", "stp", "rstp", "ageing_time", "ports":
//	          [{"name", "port_type", "number" (0: none yet), "tag", "trunks" (words: "10", "20-29"),
//	          "vlan_mode", "options", "ports", "bond_mode", "lacp", "error",
//	          "foreign"}]}]}; what is not set is not there
//	add_port  {"ok", "problems", "more"} as reload; the arguments are the options
//	          of a section of type vport
//	del_port  only of a port that add_port has added; Not found (4) otherwise
//
// Another answer that does not fit into one message of the bus is refused with
// Out of memory (11).
package api
