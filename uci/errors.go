package uci

import (
	"errors"
	"fmt"
)

// The kinds of error, with the texts that the uci command prints. Test for
// them with [errors.Is].
var (
	ErrNotFound  = errors.New("Entry not found")  //lint:ignore ST1005 the uci command's text
	ErrInvalid   = errors.New("Invalid argument") //lint:ignore ST1005 the uci command's text
	ErrParse     = errors.New("Parse error")
	ErrIO        = errors.New("I/O error")
	ErrDuplicate = errors.New("Duplicate entry") //lint:ignore ST1005 the uci command's text

	// ErrTooLarge is a file above Options.MaxSize.
	ErrTooLarge = errors.New("file too large")
	// ErrSilent is a failure for which the uci command prints nothing and
	// exits with 1, such as "get" with a value.
	ErrSilent = errors.New("unexpected value")
)

// Error is a failed operation on an object of a configuration.
type Error struct {
	Op     string // load, get, set, …
	Object string // path, or package.section.option
	Kind   error  // ErrNotFound, ErrInvalid, ErrParse, ErrIO, ErrDuplicate, ErrTooLarge or ErrSilent
	Detail error  // what lies behind it, such as a *fs.PathError; may be nil
}

// Error reads "uci: set network.lan: Invalid argument".
func (e *Error) Error() string {
	s := "uci: " + e.Op + " " + e.Object + ": " + e.Kind.Error()
	if e.Detail != nil {
		s += ": " + e.Detail.Error()
	}
	return s
}

// Unwrap gives the kind and the detail.
func (e *Error) Unwrap() []error {
	if e.Detail == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Detail}
}

func fail(op, object string, kind error) *Error {
	return &Error{Op: op, Object: object, Kind: kind}
}

// ParseError is a syntax error in a UCI file.
type ParseError struct {
	File   string // as given in Options.File; the package name when that is empty
	Line   int    // line that was read last, from 1
	Start  int    // line where the command began, or where the unterminated quote opened, from 1
	Byte   int    // offset in the command's text where parsing stood, from 0
	Reason string // the uci command's words, "invalid command"
}

// Error reads as the uci command prints it; it does not name the file.
func (e *ParseError) Error() string { return "uci: " + e.message() }

func (e *ParseError) message() string {
	return fmt.Sprintf("Parse error (%s) at line %d, byte %d", e.Reason, e.Line, e.Byte)
}

// Position is "file:line", where line is that of the command's beginning.
func (e *ParseError) Position() string { return fmt.Sprintf("%s:%d", e.File, e.Start) }

// Is reports true for ErrParse.
func (e *ParseError) Is(target error) bool { return target == ErrParse }

// Message is what the uci command prints for err behind its own name and ": ".
// It is empty for an error of which the command says nothing.
func Message(err error) string {
	var pe *ParseError
	var e *Error
	switch {
	case err == nil, errors.Is(err, ErrSilent):
		return ""
	case errors.As(err, &pe):
		return pe.message()
	case errors.As(err, &e) && e.Kind != ErrTooLarge:
		return e.Kind.Error()
	}
	return err.Error()
}
