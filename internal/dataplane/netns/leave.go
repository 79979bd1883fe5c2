package netns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// findOurs looks whether a namespace that is to be left has our rules at all. If
// not it is another one than it was: nothing is written to it, and its tables
// show nothing of ours.
func (s *session) findOurs() error {
	if !s.o.Leaving {
		return nil
	}
	have, err := readChains(s.nft)
	if err != nil {
		return err
	}
	if s.stranger = len(have) == 0; s.stranger {
		s.caps = dataplane.Caps{Resolves: true, MaxPaths: maxPaths, Version: fmt.Sprintf("Linux %s namespace %s", release(), s.o.NetNS)}
	}
	return nil
}

// leave deletes our tables of nf_tables from the namespace of a file, if that
// still stands for the same one.
func leave(file string, inode uint64) error {
	ns, err := rtnl.OpenNS(file)
	if err != nil {
		return noNS(file, err)
	}
	defer ns.Close()
	if now, err := ns.Inode(); err != nil || now != inode {
		return err
	}
	nft, err := dialNFT(ns.FD())
	if err != nil {
		return err
	}
	defer nft.close()
	for _, family := range []uint8{nfprotoInet, nfprotoNetdev} {
		e := nft.commit(message(nil, unix.NFT_MSG_DELTABLE, 0, family, text(nil, unix.NFTA_TABLE_NAME, nftTable)))
		if e != nil && !errors.Is(e, unix.ENOENT) {
			err = errors.Join(err, e)
		}
	}
	return err
}
