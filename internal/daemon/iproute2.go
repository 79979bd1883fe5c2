package daemon

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// iproute2Dirs are where names of routing tables and protocols are defined,
// the first that has a name wins (ip-route(8)).
var iproute2Dirs = []string{"/etc/iproute2", "/usr/share/iproute2"}

// lookupNumber gives the number of a name in the files NAME and NAME.d/*.conf
// of iproute2's directories.
func lookupNumber(file string) func(name string) (uint64, bool) {
	return func(name string) (uint64, bool) {
		for _, dir := range iproute2Dirs {
			more, _ := filepath.Glob(filepath.Join(dir, file+".d", "*.conf"))
			for _, path := range append([]string{filepath.Join(dir, file)}, more...) {
				b, err := os.ReadFile(path)
				if err != nil {
					continue
				}
				if n, ok := numberOf(string(b), name); ok {
					return n, true
				}
			}
		}
		return 0, false
	}
}

// numberOf finds a name in lines of "NUMBER NAME"; # begins a comment.
func numberOf(text, name string) (uint64, bool) {
	for _, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) != 2 || f[1] != name {
			continue
		}
		if n, err := strconv.ParseUint(f[0], 0, 32); err == nil {
			return n, true
		}
	}
	return 0, false
}

func routeTable(name string) (uint32, bool) {
	n, ok := lookupNumber("rt_tables")(name)
	return uint32(n), ok
}

func routeProto(name string) (uint8, bool) {
	n, ok := lookupNumber("rt_protos")(name)
	return uint8(n), ok && n <= 255
}
