package helper

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// markName is the variable by which a program and all that descends from it is
// known: INSTANCE:GENERATION:INTERFACE, where INSTANCE names run directory and
// process of the daemon.
const markName = "NETBRAID_HELPER"

// process is one process as /proc shows it.
type process struct {
	pid, parent, group, session int
	start                       uint64 // in clock ticks since the boot (proc(5), field 22)
	state                       byte
}

// readStat reads /proc/PID/stat.
func readStat(pid int) (p process, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	return parseStat(pid, b)
}

// parseStat reads the content of /proc/PID/stat. The name of the program stands
// in brackets and may have any octet in it.
func parseStat(pid int, b []byte) (p process, ok bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return p, false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 || len(f[0]) != 1 {
		return p, false
	}
	p = process{pid: pid, state: f[0][0]}
	for i, dst := range map[int]*int{1: &p.parent, 2: &p.group, 3: &p.session} {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			return p, false
		}
		*dst = n
	}
	var err error
	p.start, err = strconv.ParseUint(f[19], 10, 64)
	return p, err == nil
}

// markOf reads the mark of a process; empty for none.
func markOf(pid int) string {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
	if err != nil {
		return ""
	}
	for len(b) > 0 {
		var one []byte
		one, b, _ = bytes.Cut(b, []byte{0})
		if v, ok := bytes.CutPrefix(one, []byte(markName+"=")); ok {
			return string(v)
		}
	}
	return ""
}

// all lists the processes that run.
func all() []process {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var out []process
	for _, n := range names {
		pid, err := strconv.Atoi(n)
		if err != nil {
			continue
		}
		if p, ok := readStat(pid); ok && p.state != 'Z' && p.state != 'X' {
			out = append(out, p)
		}
	}
	return out
}

// family selects from all processes those that descend from one of the roots
// (process ids with their start times), are in its group or session, or carry a
// mark that is looked for.
func family(procs []process, roots map[int]uint64, marked func(mark string) bool) []process {
	self := os.Getpid()
	in, root := map[int]bool{}, map[int]bool{}
	for pid := range roots {
		root[pid] = true
	}
	for _, p := range procs {
		if start, ok := roots[p.pid]; ok && start != p.start {
			delete(root, p.pid) // somebody else has the number by now
		}
	}
	for again := true; again; {
		again = false
		for _, p := range procs {
			if in[p.pid] || p.pid == self || p.pid <= 1 {
				continue
			}
			if root[p.pid] || root[p.group] || root[p.session] || in[p.parent] {
				in[p.pid], again = true, true
			}
		}
	}
	var out []process
	for _, p := range procs {
		if p.pid == self || p.pid <= 1 {
			continue
		}
		if in[p.pid] || marked != nil && marked(markOf(p.pid)) {
			out = append(out, p)
		}
	}
	return out
}

// signal sends a signal to a process, if it is still the same one.
func (p process) signal(sig int) {
	fd, err := unix.PidfdOpen(p.pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, ok := readStat(p.pid); !ok || now.start != p.start {
		return
	}
	_ = unix.PidfdSendSignal(fd, unix.Signal(sig), nil, 0)
}
