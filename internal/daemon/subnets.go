package daemon

import (
	"netbraid/internal/core"
	"netbraid/internal/store"
)

// readSubnets gives who had which subnet when an earlier process ended; nil
// when that is not known.
func readSubnets(o *Options) *core.SubnetMemory {
	m := &core.SubnetMemory{}
	there, err := store.ReadSubnets(m, o.RunDir, o.StateDir)
	if err != nil {
		o.Log.Warn("IPv6 subnets may be given to others than before", "error", err)
	}
	if !there {
		return nil
	}
	return m
}

func (d *Daemon) saveSubnets(a core.SaveSubnets) {
	if err := store.SaveSubnets(a.Memory, d.o.RunDir, d.o.StateDir); err != nil {
		d.log.Warn("after a restart IPv6 subnets may be given to others", "error", err)
	}
}
