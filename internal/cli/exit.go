package cli

import (
	"errors"
	"fmt"
	"strings"
)

// The exit codes of every verb, for scripts.
const (
	exitOK       = 0
	exitFailed   = 1 // refused, failed, or wrong usage
	exitChanges  = 2 // plan: a reload would change something
	exitNotFound = 3 // no such interface, device, pair, bridge or network namespace
	exitNoDaemon = 4 // nobody to talk to
)

// exitError is an error that decides the exit code. With a nil error nothing
// is printed: everything has been said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exit(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// silent ends with a code, everything having been said.
func silent(code int) error { return &exitError{code: code} }

func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &e):
		return e.code
	}
	return exitFailed
}

// noSuch is the error for a name that is not there, with those that are.
func noSuch(what, name string, have []string) error {
	const most = 12
	msg := fmt.Sprintf("no %s %q", what, name)
	switch {
	case len(have) == 0:
		msg += fmt.Sprintf(": the daemon knows no %s at all", what)
	case len(have) > most:
		msg += fmt.Sprintf("; there are %s and %d more", strings.Join(have[:most], ", "), len(have)-most)
	default:
		msg += "; there are " + strings.Join(have, ", ")
	}
	return exit(exitNotFound, "%s", msg)
}
