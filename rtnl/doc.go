// Package rtnl speaks rtnetlink: a pure codec for links, addresses,
// neighbours, routes, rules, next-hop objects and the announced settings of
// links, and the sockets that carry them.
//
// Objects are small comparable values: two objects are equal when == says so.
// The codec has no I/O and may be used anywhere; only the shell (package
// internal/kernel and tests) opens sockets. What is not here: decisions about
// what should be configured, and any state kept between two messages.
package rtnl
