package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// runDelay is how long the threads of this process have waited, runnable, for a
// processor (the second number of /proc/PID/schedstat): on a machine that
// others use as well it says how much of a delay is theirs.
func runDelay() (sum time.Duration) {
	files, _ := filepath.Glob("/proc/self/task/*/schedstat")
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if words := strings.Fields(string(text)); len(words) > 1 {
			ns, _ := strconv.ParseInt(words[1], 10, 64)
			sum += time.Duration(ns)
		}
	}
	return sum
}
