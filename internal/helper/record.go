package helper

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/proto"
)

// record is what is written down of a program that runs: a later daemon finds
// by it what has lost its mark.
type record struct {
	Interface string
	Slot      proto.Slot
	PID       int
	Start     uint64 // clock ticks since the boot
	Boot      string // boot id
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

func (r *Runner) dir() string { return filepath.Join(r.o.RunDir, "helpers") }

func (r *Runner) recordPath(p *program) string {
	return filepath.Join(r.dir(), url.PathEscape(p.id.Interface)+"."+string(p.id.Slot))
}

// record writes down what runs.
func (r *Runner) record(p *program) {
	b, err := json.Marshal(record{p.id.Interface, p.id.Slot, p.pid, p.start, bootID()})
	if err == nil {
		err = os.WriteFile(r.recordPath(p), append(b, '\n'), 0o600)
	}
	if err != nil {
		r.o.Log.Warn("cannot write down which program runs; its mark has to do", "interface", p.id.Interface, "error", err)
	}
}

// unrecord takes the record of a program back, unless it is another's by now.
func (r *Runner) unrecord(p *program) {
	if old, err := readRecord(r.recordPath(p)); err == nil && old.PID == p.pid && old.Start == p.start {
		_ = os.Remove(r.recordPath(p))
	}
}

func readRecord(name string) (rec record, err error) {
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, &rec)
	}
	return rec, err
}

// forget removes all records.
func (r *Runner) forget() {
	entries, err := os.ReadDir(r.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.o.Log.Warn("cannot read the records of programs", "error", err)
	}
	for _, e := range entries {
		_ = os.Remove(filepath.Join(r.dir(), e.Name()))
	}
}

// endLeftovers ends what an earlier daemon with this run directory has left.
func (r *Runner) endLeftovers() {
	roots := map[int]uint64{}
	entries, _ := os.ReadDir(r.dir())
	for _, e := range entries {
		rec, err := readRecord(filepath.Join(r.dir(), e.Name()))
		if err != nil || rec.Boot != bootID() || rec.PID <= 1 {
			continue
		}
		if p, ok := readStat(rec.PID); ok && p.start == rec.Start {
			roots[rec.PID] = rec.Start
		}
	}
	prefix := runName(r.o.RunDir) + "."
	marked := func(m string) bool { return strings.HasPrefix(m, prefix) && !strings.HasPrefix(m, r.instance+":") }
	n := r.end(roots, marked)
	r.forget()
	if n > 0 {
		r.o.Log.Info("programs that an earlier daemon had left were ended", "processes", n)
	}
}

// end ends a family of processes with TERM, and with KILL those that are there
// after a while. It gives their number.
func (r *Runner) end(roots map[int]uint64, marked func(string) bool) int {
	n := len(r.endAll(roots, marked, int(unix.SIGTERM)))
	if n == 0 {
		return 0
	}
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if len(family(all(), roots, marked)) == 0 {
			return n
		}
	}
	r.endAll(roots, marked, int(unix.SIGKILL))
	return n
}
