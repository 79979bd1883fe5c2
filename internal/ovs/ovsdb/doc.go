// Package ovsdb keeps the bridges that ovs-vswitchd runs as the configuration
// wants them, through the database that ovs-vswitchd reads
// (ovs-vswitchd.conf.db(5)).
//
// What lives here: what a switch is in rows (view, plan, state: pure), and the
// backend that follows the database and writes what differs. What must not: the
// protocol, which is package rfc7047's.
//
// What is ours is decided by marks in the database alone: external_ids has
// netbraid=ID on every bridge, port, interface and controller that we made.
// Rows without it are used and compared, but never changed.
package ovsdb
