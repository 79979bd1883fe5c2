package api

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// reader asks the kernel for what status shows and nobody remembers. Readings
// are done one after another: each is short, and a caller who asks often
// holds up only himself and his like.
type reader struct {
	nsfd    int
	waiting atomic.Int32
	mu      sync.Mutex
	names   modeNames // of the link modes of this kernel; read once
	offload int       // bit of the feature hw-tc-offload, -1 unknown
	known   bool
}

// maxReadings bounds the readings that wait.
const maxReadings = 64

// readTimeout bounds the wait for the kernel's counters.
const readTimeout = 10 * time.Second

// admit counts a reading in; false when too many wait.
func (r *reader) admit() bool {
	if r.waiting.Add(1) > maxReadings {
		r.waiting.Add(-1)
		return false
	}
	return true
}

func (r *reader) release() { r.waiting.Add(-1) }

// read reads everything for these devices, in their order. What a device does
// not have, or has no more, is left out; only when the namespace cannot be
// read at all there is an error.
func (r *reader) read(snaps []DeviceSnapshot) ([]LiveDevice, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]LiveDevice, len(snaps))
	err := rtnl.WithNS(r.nsfd, func() error {
		stats, err := readStats()
		if err != nil {
			return err
		}
		eth, err := openEthtool()
		if err != nil {
			return err
		}
		defer eth.close()
		for i := range snaps {
			d := &snaps[i]
			if !d.HasLink {
				continue
			}
			out[i].Stats = stats[d.Link.Index]
			r.readEthtool(eth, d.Name, &out[i])
			if d.Up {
				out[i].Sysctl = readSysctls(d.Name)
				out[i].GRO, out[i].HasGRO = eth.gro(d.Name)
			}
		}
		return nil
	})
	return out, err
}

// counters reads those of some links, by the names they are asked for by. A link
// that has gone has none.
func (r *reader) counters(links map[string]uint32) (map[string]*Stats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make(map[string]*Stats, len(links))
	err := rtnl.WithNS(r.nsfd, func() error {
		stats, err := readStats()
		for name, index := range links {
			if st := stats[index]; st != nil {
				out[name] = st
			}
		}
		return err
	})
	return out, err
}

func (r *reader) readEthtool(eth *ethtool, name string, out *LiveDevice) {
	if !r.known {
		r.names, r.offload, r.known = eth.strings(name)
	}
	out.Settings = eth.linkSettings(name, r.names)
	if out.Settings != nil {
		out.TCOffload = eth.feature(name, r.offload)
	}
}

// readSysctls reads the settings that status shows.
func readSysctls(device string) map[string]int {
	out := make(map[string]int, len(sysctlFields))
	if strings.ContainsRune(device, '/') {
		return out
	}
	for _, f := range sysctlFields {
		// Files in /proc never block: the poller that os.ReadFile would tell
		// about each of them costs as much as reading them.
		fd, err := unix.Open("/proc/sys/net/"+strings.Replace(f.path, "%s", device, 1), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // no IPv6, or not in this kernel
		}
		var b [32]byte
		n, err := unix.Read(fd, b[:])
		unix.Close(fd)
		if err != nil || n <= 0 {
			continue
		}
		if v, err := strconv.Atoi(strings.TrimSpace(string(b[:n]))); err == nil {
			out[f.name] = v
		}
	}
	return out
}

// readStats reads the counters of all links of the namespace, by ifindex.
// Sysfs has them too, but shows the namespace that it was mounted in.
func readStats() (map[uint32]*Stats, error) {
	conn, err := rtnl.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	out := map[uint32]*Stats{}
	_, err = conn.Dump(ctx, statsRequest(), func(b []byte) error { return decodeStats(b, out) })
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	return out, nil
}
