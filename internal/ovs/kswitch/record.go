package kswitch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/store"
	"netbraid/rtnl"
)

// record is what is ours. It is written down before it is made, and counts for
// one boot and one network namespace.
type record struct {
	Version   int
	BootID    string
	Namespace uint64 // cookie (SO_NETNS_COOKIE)
	Datapaths map[string]*madeDatapath
}

// madeDatapath is a datapath that we made, or were about to make.
type madeDatapath struct {
	Index uint32 `json:",omitempty"` // of its local device; 0: not known yet
	// Ports that we made or were about to make, by name, with their numbers; 0:
	// not known yet.
	Ports map[string]uint32
}

const recordVersion = 1

// currentRecord is an empty record of this boot and the namespace nsfd.
func currentRecord(nsfd int) (*record, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, fmt.Errorf("read the boot id: %w", err)
	}
	r := &record{Version: recordVersion, BootID: strings.TrimSpace(string(b)), Datapaths: map[string]*madeDatapath{}}
	err = rtnl.WithNS(nsfd, func() error {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		r.Namespace, _ = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("identify the network namespace: %w", err)
	}
	return r, nil
}

// readRecord reads what a predecessor in this boot and namespace has written.
// The error is about a file that cannot be read, the record is empty then; it is
// nil if nothing can be known.
func readRecord(path string, nsfd int) (*record, error) {
	now, err := currentRecord(nsfd)
	if err != nil {
		return nil, err
	}
	if path == "" {
		return now, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return now, nil
	}
	if err == nil {
		err = now.take(b)
	}
	if err != nil {
		return now, fmt.Errorf("read what was made before: %w; the datapaths of before count as others' until they are removed (ovs-dpctl del-dp)", err)
	}
	return now, nil
}

// take reads the file of a predecessor, if it is of the same boot and namespace.
func (r *record) take(b []byte) error {
	var was record
	if err := json.Unmarshal(b, &was); err != nil {
		return err
	}
	if was.Version != r.Version || was.BootID != r.BootID || was.Namespace != r.Namespace {
		return nil
	}
	for name, d := range was.Datapaths {
		if d == nil || name == "" {
			return fmt.Errorf("datapath %q is not described", name)
		}
		if d.Ports == nil {
			d.Ports = map[string]uint32{}
		}
		r.Datapaths[name] = d
	}
	return nil
}

func (r *record) save(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := store.SaveFile(path, b, 0o600); err != nil {
		return fmt.Errorf("write down what is made: %w", err)
	}
	return nil
}

// owns tells whether the datapath that is there now is the one that we made.
func (r *record) owns(name string, index uint32) bool {
	d := r.Datapaths[name]
	return d != nil && (d.Index == 0 || d.Index == index)
}

// ownsPort tells whether we made a port: by its name, or by its number when its
// device was renamed.
func (d *madeDatapath) ownsPort(name string, number uint32) bool {
	if n, ok := d.Ports[name]; ok {
		return n == 0 || n == number
	}
	return d.nameOf(number) != ""
}

// nameOf is the name under which we made a port.
func (d *madeDatapath) nameOf(number uint32) string {
	for name, n := range d.Ports {
		if n == number && n != 0 {
			return name
		}
	}
	return ""
}
