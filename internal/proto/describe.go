package proto

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"netbraid/internal/config"
)

// maxOptions bounds the options of one protocol.
const maxOptions = 512

// description is a line that a script prints for `dump`.
type description struct {
	Name     string              `json:"name"`
	Config   [][]json.RawMessage `json:"config"`
	NoDevice flag                `json:"no-device"`
	NoConfig flag                `json:"no-device-config"`
	NoTask   flag                `json:"no-proto-task"`
	Avail    flag                `json:"available"`
	Renew    flag                `json:"renew-handler"`
	Restart  flag                `json:"restart-handler"`
	Last     flag                `json:"lasterror"`
	Teardown flag                `json:"teardown-on-l3-link-down"`
}

// flag is a bool that may be written as a number.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true", "1":
		*f = true
	case "false", "0", "null":
		*f = false
	default:
		return fmt.Errorf("%s is no bool", b)
	}
	return nil
}

// reserved are the protocols that no script may call its own.
var reserved = []string{"static", "none"}

// Describe reads one line that a script prints when it is run with `dump`: the
// description of one protocol. script is what to run for it, and dir where.
func Describe(line []byte, script, dir string) (Spec, error) {
	var d description
	if err := json.Unmarshal(line, &d); err != nil {
		return Spec{}, fmt.Errorf("protocol description: %w", err)
	}
	if d.Name == "" || len(d.Name) > 64 || strings.ContainsFunc(d.Name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return Spec{}, fmt.Errorf("protocol description: name %q is not a name of a protocol", d.Name)
	}
	if slices.Contains(reserved, d.Name) {
		return Spec{}, fmt.Errorf("protocol description: %q is built in", d.Name)
	}
	if len(d.Config) > maxOptions {
		return Spec{}, fmt.Errorf("protocol %s: %d options, more than %d", d.Name, len(d.Config), maxOptions)
	}
	s := Spec{Name: d.Name, Flags: Flags{
		External: true, NoDevice: bool(d.NoDevice), NoDeviceConfig: bool(d.NoConfig), InitAvailable: bool(d.Avail),
		MovesL3: bool(d.NoDevice), Renew: bool(d.Renew), Restart: bool(d.Restart), NoTask: bool(d.NoTask),
		LastError: bool(d.Last), TeardownOnL3LinkDown: bool(d.Teardown),
	}}
	for i, c := range d.Config {
		o, err := describeOption(c)
		if err != nil {
			return Spec{}, fmt.Errorf("protocol %s: config[%d]: %w", d.Name, i, err)
		}
		if !slices.ContainsFunc(s.Options, func(x Option) bool { return x.Name == o.Name }) {
			s.Options = append(s.Options, o)
		}
	}
	flags := s.Flags
	s.New = func() Handler { return &external{name: d.Name, script: script, dir: dir, flags: flags} }
	return s, nil
}

// describeOption reads ["name:validator", type].
func describeOption(c []json.RawMessage) (o Option, err error) {
	if len(c) != 2 {
		return o, fmt.Errorf("%d values where name and type are expected", len(c))
	}
	var name string
	if err := json.Unmarshal(c[0], &name); err != nil {
		return o, fmt.Errorf("name: %w", err)
	}
	var typ int
	if err := json.Unmarshal(c[1], &typ); err != nil {
		return o, fmt.Errorf("type: %w", err)
	}
	o.Name, o.Validator, _ = strings.Cut(name, ":")
	o.Type = config.Type(typ)
	switch {
	case o.Name == "":
		return o, fmt.Errorf("no name")
	case typ != int(config.TypeArray) && typ != int(config.TypeString) && typ != int(config.TypeInt) && typ != int(config.TypeBool):
		return o, fmt.Errorf("%s: there is no type %d", o.Name, typ)
	}
	return o, nil
}

// Validate names the validator of an option as user interfaces read it: its
// own, or that of its type.
func (o Option) Validate() string {
	if o.Validator != "" {
		return o.Validator
	}
	return map[config.Type]string{config.TypeArray: "list(string)", config.TypeInt: "uinteger",
		config.TypeBool: "bool", config.TypeString: "string"}[o.Type]
}
