package ubus

import (
	"context"
	"errors"
	"strconv"
)

// Status is the numeric result that ends every ubus request (attribute STATUS
// of a STATUS message). Status values other than StatusOK are used as errors
// by this package; errors.Is and errors.As find them through wrapping.
type Status int32

// The status codes of the ubus protocol (ubusmsg.h, enum ubus_msg_status).
const (
	StatusOK               Status = 0
	StatusInvalidCommand   Status = 1
	StatusInvalidArgument  Status = 2
	StatusMethodNotFound   Status = 3
	StatusNotFound         Status = 4
	StatusNoData           Status = 5
	StatusPermissionDenied Status = 6
	StatusTimeout          Status = 7
	StatusNotSupported     Status = 8
	StatusUnknownError     Status = 9
	StatusConnectionFailed Status = 10
	StatusNoMemory         Status = 11
	StatusParseError       Status = 12
	StatusSystemError      Status = 13
)

var statusText = [...]string{
	"Success", "Invalid command", "Invalid argument", "Method not found", "Not found",
	"No response", "Permission denied", "Request timed out", "Operation not supported",
	"Unknown error", "Connection failed", "Out of memory", "Parsing message data failed",
	"System error",
}

// Error returns the text that the ubus command line prints for the code.
func (s Status) Error() string {
	if s >= 0 && int(s) < len(statusText) {
		return statusText[s]
	}
	return "Unknown error: " + strconv.Itoa(int(s))
}

// String is the same text as Error.
func (s Status) String() string { return s.Error() }

// err turns a status into an error, nil for StatusOK.
func (s Status) err() error {
	if s == StatusOK {
		return nil
	}
	return s
}

// StatusOf finds the status that stands for err: nil is StatusOK, a Status in
// the chain is itself, an expired deadline is StatusTimeout, a lost connection
// StatusConnectionFailed, anything else StatusUnknownError.
func StatusOf(err error) Status {
	var s Status
	switch {
	case err == nil:
		return StatusOK
	case errors.As(err, &s):
		return s
	case errors.Is(err, context.DeadlineExceeded):
		return StatusTimeout
	case errors.Is(err, ErrClosed):
		return StatusConnectionFailed
	}
	return StatusUnknownError
}
