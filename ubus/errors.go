package ubus

import "errors"

// ErrClosed is the error of operations on a connection that is closed, by
// either side.
var ErrClosed = errors.New("ubus: connection closed")

// ErrOverflow is the error of a connection that was closed because messages
// came, or were sent, faster than they could be handled.
var ErrOverflow = errors.New("ubus: queue full")
