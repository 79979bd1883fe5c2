package netns

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// space is a namespace with companions.
type space struct {
	path    string
	ns      *rtnl.NS
	inode   uint64
	conn    *rtnl.Conn
	nft     *nftConn
	guarded bool
}

// ownNS is the file of the daemon's own namespace.
const ownNS = "/proc/thread-self/ns/net"

// space opens the namespace of companions, or gives the one that is open if its
// file stands for it still.
func (s *session) space(path string) (*space, error) {
	file := path
	if file == "" {
		file = ownNS
	}
	old := s.hosts[path]
	inode, err := inodeOf(file)
	if err == nil && old != nil && old.inode == inode {
		return old, nil
	}
	if old != nil {
		old.close()
		delete(s.hosts, path)
	}
	if err == nil && inode == s.inode {
		err = fmt.Errorf("it is the forwarding namespace: %w", dataplane.ErrRefused)
	}
	if err != nil {
		return nil, fmt.Errorf("namespace of the companion, %q: %w", path, err)
	}
	h := &space{path: path, inode: inode}
	if h.ns, err = rtnl.OpenNS(file); err == nil {
		h.conn, err = rtnl.DialNS(h.ns.FD())
	}
	if err == nil {
		h.nft, err = dialNFT(h.ns.FD())
	}
	if err != nil {
		h.close()
		return nil, fmt.Errorf("namespace of the companion, %q: %w", path, err)
	}
	s.hosts[path] = h
	return h, nil
}

func (h *space) close() {
	if h.conn != nil {
		h.conn.Close()
	}
	if h.nft != nil {
		h.nft.close()
	}
	if h.ns != nil {
		h.ns.Close()
	}
}

// links reads the links of the namespace.
func (h *space) links(ctx context.Context) (all []rtnl.Link, err error) {
	err = eachLink(ctx, h.conn, func(l *link) { all = append(all, l.Link) })
	return all, err
}

// eachLink dumps links.
func eachLink(ctx context.Context, conn *rtnl.Conn, f func(*link)) error {
	for range dumpTries {
		var list []*link
		res, err := conn.Dump(ctx, rtnl.AppendDumpRequest(nil, rtnl.KindLink, 0, rtnl.Filter{}), func(b []byte) error {
			return eachMessage(b, unix.RTM_NEWLINK, func(body []byte) error {
				l := new(link)
				var err error
				if l.alias, err = rtnl.LinkAlias(body); err == nil {
					err = rtnl.DecodeLink(body, &l.Link)
				}
				list = append(list, l)
				return err
			})
		})
		if err != nil {
			return err
		}
		if res.Complete && !res.Interrupted {
			for _, l := range list {
				f(l)
			}
			return nil
		}
	}
	return errUnsteady
}

// dumpTries is how often a dump is begun that changes disturb.
const dumpTries = 20

var errUnsteady = errors.New("the table kept changing while it was read")

// eachMessage calls f with the body of every message of a type.
func eachMessage(b []byte, typ uint16, f func(body []byte) error) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return err
		}
		if b = rest; h.Type == typ {
			if err := f(body); err != nil {
				return err
			}
		}
	}
	return nil
}

// byName finds a link of the namespace.
func (h *space) byName(ctx context.Context, name string) (l rtnl.Link, ok bool, err error) {
	all, err := h.links(ctx)
	for _, x := range all {
		if x.Name == name {
			return x, true, nil
		}
	}
	return l, false, err
}

// guard keeps the namespace from forwarding what a companion receives, and
// gives the companion the sysctls that it needs.
func (h *space) guard(host string) error {
	if !h.guarded {
		have, err := readChains(h.nft)
		if err != nil {
			return err
		}
		msgs := [][]byte{nftTableMsg(nfprotoInet), setMsg(nfprotoInet, setHosts, keyIfname, ifnameSize)}
		c := hostGuard()
		if st, ok := have[chainKey{c.family, c.name}]; !ok || !st.same(&c) {
			msgs = append(msgs, chainMsgs(&c)...)
		}
		if err := refused(h.nft.commit(msgs...)); err != nil {
			return err
		}
		h.guarded = true
	}
	err := refused(h.nft.commit(elemMsgs(unix.NFT_MSG_NEWSETELEM, nfprotoInet, setHosts, [][]byte{ifname(host)})...))
	if err != nil {
		h.guarded = false // somebody may have removed the table
		return err
	}
	err = h.ns.Do(func() error { return writeSysctl("ipv6/conf/"+host+"/forwarding", "1") })
	if errors.Is(err, os.ErrNotExist) { // no IPv6 there
		err = nil
	}
	return err
}

// unguard forgets a companion.
func (h *space) unguard(host string) error {
	err := h.nft.commit(elemMsgs(unix.NFT_MSG_DELSETELEM, nfprotoInet, setHosts, [][]byte{ifname(host)})...)
	if errors.Is(err, unix.ENOENT) {
		err = nil
	}
	return err
}

const ifnameSize = 16

func ifname(s string) []byte {
	b := make([]byte, ifnameSize)
	copy(b, s)
	return b
}
