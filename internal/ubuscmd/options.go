package ubuscmd

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"netbraid/ubus"
)

// options are the flags before and between the arguments.
type options struct {
	socket     string
	timeout    int // seconds
	hasTimeout bool
	simple     bool
	verbose    bool
	types      map[ubus.MsgType]bool // for monitor; empty: all
	direction  byte                  // for monitor: 'r', 't', 0 for both
}

// errUsage is a mistake that the usage text alone explains.
var errUsage = errors.New("")

// parseOptions takes the options out of args as getopt does: anywhere before
// "--", joined or not.
func parseOptions(args []string) (opt options, rest []string, err error) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return opt, append(rest, args[i+1:]...), nil
		}
		if len(a) < 2 || a[0] != '-' {
			rest = append(rest, a)
			continue
		}
		for j := 1; j < len(a); j++ {
			flag := a[j]
			if !strings.ContainsRune("stmM", rune(flag)) {
				if err := opt.set(flag, ""); err != nil {
					return opt, nil, err
				}
				continue
			}
			value := a[j+1:]
			if value == "" {
				if i++; i >= len(args) {
					return opt, nil, fmt.Errorf("option requires an argument -- '%c'", flag)
				}
				value = args[i]
			}
			if err := opt.set(flag, value); err != nil {
				return opt, nil, err
			}
			break
		}
	}
	return opt, rest, nil
}

func (o *options) set(flag byte, value string) error {
	switch flag {
	case 's':
		o.socket = value
	case 't':
		o.timeout, o.hasTimeout = atoi(value), true
	case 'S':
		o.simple = true
	case 'v':
		o.verbose = true
	case 'm':
		return o.addType(value)
	case 'M':
		if !strings.HasPrefix(value, "r") && !strings.HasPrefix(value, "t") {
			return errUsage
		}
		o.direction = value[0]
	default:
		return fmt.Errorf("invalid option -- '%c'", flag)
	}
	return nil
}

func (o *options) addType(name string) error {
	for t := ubus.MsgHello; t <= ubus.MsgNotify; t++ {
		if t.String() == name {
			if o.types == nil {
				o.types = map[ubus.MsgType]bool{}
			}
			o.types[t] = true
			return nil
		}
	}
	return errUsage
}

// atoi is C's: leading digits count, anything else is 0. It stops at values
// beyond any useful time.
func atoi(s string) int {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	n := 0
	for i := 0; i < len(s) && s[i] >= '0' && s[i] <= '9' && n < 1<<27; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return sign * n
}

// usage prints what the original prints, for scripts that look at it.
func usage(w io.Writer, prog string) {
	fmt.Fprintf(w, "Usage: %s [<options>] <command> [arguments...]\n", prog)
	io.WriteString(w, "Options:\n"+
		" -s <socket>:\t\tSet the unix domain socket to connect to\n"+
		" -t <timeout>:\t\tSet the timeout (in seconds) for a command to complete\n"+
		" -S:\t\t\tUse simplified output (for scripts)\n"+
		" -v:\t\t\tMore verbose output\n"+
		" -m <type>:\t\t(for monitor): include a specific message type\n"+
		"\t\t\t(can be used more than once)\n"+
		" -M <r|t>\t\t(for monitor): only capture received or transmitted traffic\n"+
		"\nCommands:\n"+
		" - list [<path>]\t\t\tList objects\n"+
		" - call <path> <method> [<message>]\tCall an object method\n"+
		" - subscribe <path> [<path>...]\tSubscribe to object(s) notifications\n"+
		" - listen [<path>...]\t\t\tListen for events\n"+
		" - send <type> [<message>]\t\tSend an event\n"+
		" - wait_for <object> [<object>...]\tWait for multiple objects to appear on ubus\n"+
		" - monitor\t\t\t\tMonitor ubus traffic\n\n")
}
