package kswitch

import (
	"errors"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// makeDatapath makes a datapath whose misses are dropped for now.
func (a *asker) makeDatapath(fam families, name string) (d odp.Datapath, err error) {
	req := odp.AppendDatapath(nil, fam.datapath, odp.CmdNew, unix.NLM_F_ACK|unix.NLM_F_ECHO|unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		&odp.DatapathRequest{Name: name, Set: odp.SetUpcallPID | odp.SetFeatures})
	err = errUnfinished
	asked := a.ask(req, func(bodies [][]byte) { d, err = odp.ParseDatapath(bodies[0]) })
	if asked != nil {
		err = asked
	}
	return d, err
}

func (a *asker) removeDatapath(fam families, index uint32) error {
	return a.ask(odp.AppendDatapath(nil, fam.datapath, odp.CmdDel, unix.NLM_F_ACK, &odp.DatapathRequest{Index: index}), nil)
}

// ports lists the ports of a datapath.
func (a *asker) ports(fam families, dp uint32) (list []odp.Port, err error) {
	var bad error
	err = a.ask(odp.AppendDump(nil, fam.vport, odp.FamilyVport, dp), func(bodies [][]byte) {
		for _, b := range bodies {
			p, err := odp.ParsePort(b)
			if err != nil {
				bad = err
				continue
			}
			list = append(list, p)
		}
	})
	return list, errors.Join(err, bad)
}

// makePort makes a port; r.Number 0 is any.
func (a *asker) makePort(fam families, r *odp.PortRequest) (p odp.Port, err error) {
	r.Set |= odp.SetType | odp.SetPIDs
	if r.Number != 0 {
		r.Set |= odp.SetNumber
	}
	err = errUnfinished
	asked := a.ask(odp.AppendPort(nil, fam.vport, odp.CmdNew, unix.NLM_F_ACK|unix.NLM_F_ECHO|unix.NLM_F_CREATE|unix.NLM_F_EXCL, r), func(bodies [][]byte) {
		p, err = odp.ParsePort(bodies[0])
	})
	if asked != nil {
		err = asked
	}
	return p, err
}

func (a *asker) removePort(fam families, dp, number uint32) error {
	return a.ask(odp.AppendPort(nil, fam.vport, odp.CmdDel, unix.NLM_F_ACK, &odp.PortRequest{Datapath: dp, Number: number, Set: odp.SetNumber}), nil)
}

// setPID has the misses of a port come to a netlink port.
func (a *asker) setPID(fam families, dp, number, pid uint32) error {
	return a.ask(odp.AppendPort(nil, fam.vport, odp.CmdSet, unix.NLM_F_ACK,
		&odp.PortRequest{Datapath: dp, Number: number, PIDs: []uint32{pid}, Set: odp.SetNumber | odp.SetPIDs}), nil)
}
