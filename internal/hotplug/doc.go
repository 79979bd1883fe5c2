// Package hotplug tells scripts what has happened to interfaces, as netifd
// does through /sbin/hotplug-call: a queue with at most one event an interface
// (pure), and a runner that starts one program at a time, each in a process
// group of its own and for a limited time. Where there is no hotplug-call it
// runs /etc/hotplug.d/iface/* itself, each script with a limit of its own.
//
// What must not live here: which events there are and when (package iface),
// and any other kind of program (package helper).
package hotplug
