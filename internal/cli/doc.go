// Package cli is the command line of netbraid: flags, the wiring of the
// daemon, the verbs that talk to it over ubus, and how their answers look to a
// reader. What must not live here: any decision about the network, and
// anything that another program could want from the bus (that is package
// ubus's, and package api's on the daemon's side).
package cli
