package kswitch

import (
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"netbraid/internal/ovs/odp"
)

// errUnfinished says that an answer did not come to its end.
var errUnfinished = errors.New("the kernel's answer was cut off")

// asker asks the kernel, one question at a time.
type asker struct {
	mu sync.Mutex
	*socket
	buf []byte
	seq uint32
}

func openAsker(nsfd int) (*asker, error) {
	s, err := openSocket(nsfd, upcallBuffer)
	if err != nil {
		return nil, err
	}
	return &asker{socket: s, buf: make([]byte, maxDatagram+dumpSize)}, nil
}

// ask sends a request, which must ask for an acknowledgement or a dump, and
// hands on the bodies of what is answered, a datagram at a time, until the end
// that the kernel says. fn may be nil.
func (a *asker) ask(req []byte, fn func(bodies [][]byte)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seq++
	setSeq(req, 0, a.seq)
	if err := a.send(req); err != nil {
		return err
	}
	var bodies [][]byte
	for {
		ended := false
		var failed error
		overruns, err := a.receive(a.buf, maxAnswers, true, func(b []byte) {
			bodies = bodies[:0]
			eachMessage(b, func(m message) bool {
				switch {
				case m.seq != a.seq: // of a question that was given up
				case m.typ != unix.NLMSG_DONE && m.typ != unix.NLMSG_ERROR:
					bodies = append(bodies, m.body)
				default:
					ended = true
					if errno := m.errorOf(); errno != 0 {
						failed = errno
					}
				}
				return true
			})
			if fn != nil && len(bodies) > 0 {
				fn(bodies)
			}
		})
		switch {
		case err != nil:
			return err
		case ended:
			return failed
		case overruns > 0:
			a.drain()
			return errUnfinished
		}
	}
}

// drain takes what is left of an answer, so that the next one is not refused.
func (a *asker) drain() {
	for {
		n := 0
		if _, err := a.receive(a.buf, maxAnswers, false, func([]byte) { n++ }); n == 0 || err != nil {
			return
		}
	}
}

// resolve asks for the numbers of the families and their groups; asked with
// privilege, the kernel loads the module for it.
func (a *asker) resolve() (fam families, groups []uint32, err error) {
	for _, f := range []struct {
		name string
		id   *uint16
	}{{odp.FamilyDatapath, &fam.datapath}, {odp.FamilyVport, &fam.vport}, {odp.FamilyFlow, &fam.flow}, {odp.FamilyPacket, &fam.packet}} {
		var got odp.Family
		var bad error
		err := a.ask(odp.AppendGetFamily(nil, f.name), func(bodies [][]byte) { got, bad = odp.ParseFamily(bodies[0]) })
		switch {
		case errors.Is(err, unix.ENOENT):
			return fam, nil, fmt.Errorf("the kernel has no %s: load openvswitch (modprobe openvswitch)", f.name)
		case err != nil || bad != nil:
			return fam, nil, fmt.Errorf("look for %s: %w", f.name, errors.Join(err, bad))
		}
		*f.id = got.ID
		if f.name == odp.FamilyDatapath || f.name == odp.FamilyVport {
			groups = append(groups, got.Group)
		}
	}
	return fam, groups, nil
}

// datapath asks for one datapath.
func (a *asker) datapath(fam families, r *odp.DatapathRequest) (d odp.Datapath, err error) {
	err = errUnfinished
	asked := a.ask(odp.AppendDatapath(nil, fam.datapath, odp.CmdGet, unix.NLM_F_ACK, r), func(bodies [][]byte) {
		d, err = odp.ParseDatapath(bodies[0])
	})
	if asked != nil {
		err = asked
	}
	return d, err
}
