package vpp

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
)

// namespaces translates between the files that we name network namespaces by
// ("" is the daemon's own) and what VPP's linux-cp takes: a name below
// /run/netns, a path, "pid:N", or "" for its default.
type namespaces struct {
	vpp uint32 // the process
	def string // linux-cp's default; "": VPP's own
}

const (
	netnsDir   = "/run/netns/"
	ownNS      = "/proc/self/ns/net"
	pidPrefix  = "pid:"
	oldVarPath = "/var/run/netns/"
)

// write returns what linux-cp is to be told for a file.
func (n *namespaces) write(file string) (string, error) {
	switch {
	case file == "" && n.read("") == "":
		return "", nil
	case file == "":
		file = ownFile()
	case strings.HasPrefix(file, oldVarPath):
		file = netnsDir + file[len(oldVarPath):]
	case file[0] != '/':
		return "", fmt.Errorf("%w: network namespace %q is not an absolute path", dataplane.ErrRefused, file)
	}
	name := file
	if rest, ok := strings.CutPrefix(file, netnsDir); ok && rest != "" && !strings.Contains(rest, "/") && !strings.HasPrefix(rest, pidPrefix) {
		name = rest
	}
	if len(name) >= netnsLen {
		return "", fmt.Errorf("%w: network namespace %s: VPP takes up to %d octets; give it a shorter name below %s", dataplane.ErrRefused, file, netnsLen-1, netnsDir)
	}
	return name, nil
}

// read returns the file for what linux-cp says, "" for our own namespace.
func (n *namespaces) read(name string) string {
	if name == "" {
		name = n.def
	}
	file := name
	switch {
	case name == "":
		file = fmt.Sprintf("/proc/%d/ns/net", n.vpp)
		if _, ok := nsID(file); !ok {
			return "" // cannot be looked at: VPP and the daemon run side by side
		}
	case strings.HasPrefix(name, pidPrefix):
		pid, err := strconv.ParseUint(name[len(pidPrefix):], 10, 32)
		if err != nil {
			return name
		}
		file = fmt.Sprintf("/proc/%d/ns/net", pid)
	case strings.HasPrefix(name, oldVarPath):
		file = netnsDir + name[len(oldVarPath):]
	case name[0] != '/':
		file = netnsDir + name
	}
	if sameNS(file, ownNS) {
		return ""
	}
	return file
}

// ownFile finds a name for the daemon's own namespace that VPP can open.
func ownFile() string {
	if list, err := os.ReadDir(netnsDir); err == nil {
		for _, e := range list {
			if f := netnsDir + e.Name(); len(e.Name()) < netnsLen && sameNS(f, ownNS) {
				return f
			}
		}
	}
	return fmt.Sprintf("/proc/%d/ns/net", os.Getpid())
}

type fileID struct{ dev, ino uint64 }

func nsID(file string) (fileID, bool) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return fileID{}, false
	}
	return fileID{st.Dev, st.Ino}, true
}

func sameNS(a, b string) bool {
	x, ok := nsID(a)
	y, ok2 := nsID(b)
	return ok && ok2 && x == y
}
