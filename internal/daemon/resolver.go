package daemon

import (
	"os"

	"netbraid/internal/core"
	"netbraid/internal/resolv"
)

// startResolver starts the writer of resolv.conf, if there is to be one, and
// returns what ends it.
func (d *Daemon) startResolver() (stop func()) {
	if d.o.Resolv == nil {
		return func() {}
	}
	o := *d.o.Resolv
	if o.Log == nil {
		o.Log = d.log
	}
	if o.File == "" {
		o.File = resolv.DefaultFile(d.o.RunDir)
	}
	if o.Tell && !ownsResolver() {
		o.Tell = false
	}
	d.resolv = resolv.New(o)
	return d.resolv.Close
}

// ownsResolver tells whether this process is in the network namespace that the
// machine's resolver serves: that of its first process.
func ownsResolver() bool {
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return false
	}
	first, err := os.Readlink("/proc/1/ns/net")
	return err == nil && own == first
}

// setResolver hands over what the resolver is to use. Of several interfaces on
// one device the resolver of that link is told all.
func (d *Daemon) setResolver(a core.Resolver) {
	if d.resolv == nil {
		return
	}
	s := resolv.State{Text: a.Text}
	at := map[string]int{}
	for i := range a.Links {
		l := &a.Links[i]
		k, known := at[l.Device]
		if !known {
			k = len(s.Links)
			at[l.Device] = k
			s.Links = append(s.Links, resolv.Link{Device: l.Device})
		}
		s.Links[k].Servers = append(s.Links[k].Servers, l.ServerText()...)
		s.Links[k].Search = append(s.Links[k].Search, l.Search...)
	}
	d.resolv.Set(s)
}
