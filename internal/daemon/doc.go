// Package daemon is the loop: one select, one core, one timer. It reads
// configuration files, hands events to the core, does what the actions say
// through the worlds (package kernel) and answers the API. It makes no
// decision about the network.
package daemon
