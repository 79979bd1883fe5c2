package bench

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profileVariable names a file: what the mirror measures is profiled into it,
// with a number for each measurement behind its name.
const profileVariable = "NETBRAID_BENCH_PROFILE"

var profiles int

// profiled is measure with a profile on the side, when one is asked for.
func profiled(fn func() error) (reply, error) {
	path := os.Getenv(profileVariable)
	if path == "" {
		return measure(fn)
	}
	profiles++
	f, err := os.Create(fmt.Sprintf("%s.%d.%d", path, os.Getpid(), profiles))
	if err != nil {
		return reply{}, err
	}
	defer f.Close()
	if err := pprof.StartCPUProfile(f); err != nil {
		return reply{}, err
	}
	defer pprof.StopCPUProfile()
	return measure(fn)
}
