// Package rfc7047 is a client of the Open vSwitch Database Management Protocol
// (RFC 7047, with the extensions that ovsdb-server(7) describes): JSON values
// cut out of a stream, the database's types and values, transactions, a copy of
// tables that follows the server's changes, connections over unix, TCP and TLS
// sockets.
//
// What lives here: the protocol. Everything but conn.go and target.go is pure.
// What must not: anything that knows what a bridge is.
package rfc7047
