package proto

// Tunnel is a link that a handler asks for instead of making it.
type Tunnel struct {
	Kind string // IFLA_INFO_KIND
}

// ParseTunnel reads the table `tunnel` of an update.
func ParseTunnel(t []Field) (*Tunnel, error) { return nil, errTunnel }

var errTunnel = tunnelError("not built")

type tunnelError string

func (e tunnelError) Error() string { return string(e) }
