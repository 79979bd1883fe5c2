package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/plan"
)

// header is the first line of the state file: what follows is true for one
// boot and one network namespace.
type header struct {
	Version   int
	BootID    string
	Namespace string
	// Cookie of the namespace, which is not given out twice in one boot as
	// its inode number is (SO_NETNS_COOKIE, Linux 5.14; 0 before).
	Cookie uint64
}

// line is every other line.
type line struct {
	Record *plan.Record `json:",omitempty"`
	Down   []string     `json:",omitempty"` // replaces the list
	Downs  bool         `json:",omitempty"` // the line is about Down, empty or not
}

// version of the format. Another version is not read: state is then as after
// a boot, and objects that are equal to what is wanted count as there.
const version = 1

// compactAfter is how many records are appended before the file is rewritten.
const compactAfter = 20000

// State is the state file, open for appending.
type State struct {
	path  string
	f     *os.File
	lock  *os.File
	head  header
	owned *plan.Owned
	down  []string
	lines int
	torn  bool // half a line may have been written: the file has to be rewritten
	warn  string
}

// Open reads the state in dir (made if missing) and opens it for appending.
// State of another boot or another namespace is dropped. A line that cannot
// be read ends the reading; Warning then says so. Only one daemon can have a
// directory open.
func Open(dir string) (*State, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("open state: another netbraid daemon uses %s: %w", dir, err)
	}
	s := &State{path: filepath.Join(dir, "state"), lock: lock, head: currentHeader()}
	s.owned, s.down, s.warn = read(s.path, s.head)
	if err := s.compact(); err != nil {
		lock.Close()
		return nil, err
	}
	return s, nil
}

// Read reads the state in dir without opening it for appending, as `netbraid
// plan` does.
func Read(dir string) (*plan.Owned, []string) {
	owned, down, _ := read(filepath.Join(dir, "state"), currentHeader())
	return owned, down
}

func currentHeader() header {
	h := header{Version: version}
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h.BootID = strings.TrimSpace(string(b))
	if ns, err := os.Readlink("/proc/thread-self/ns/net"); err == nil {
		h.Namespace = ns
	}
	if fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err == nil {
		h.Cookie, _ = unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		unix.Close(fd)
	}
	return h
}

func read(path string, want header) (owned *plan.Owned, down []string, warn string) {
	owned = plan.NewOwned()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return owned, nil, ""
	}
	if err != nil {
		return owned, nil, err.Error()
	}
	return parse(b, want)
}

// parse reads the content of a state file.
func parse(b []byte, want header) (owned *plan.Owned, down []string, warn string) {
	owned = plan.NewOwned()
	first, rest, _ := bytes.Cut(b, []byte("\n"))
	var h header
	if err := json.Unmarshal(first, &h); err != nil {
		return owned, nil, "the state file has no header: " + err.Error()
	}
	if h != want {
		return owned, nil, ""
	}
	for n := 2; len(rest) > 0; n++ {
		text, more, whole := bytes.Cut(rest, []byte("\n"))
		rest = more
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			if !whole {
				return owned, down, "" // the last line was being written when the daemon died
			}
			return owned, down, fmt.Sprintf("line %d of the state file: %v", n, err)
		}
		if l.Record != nil {
			owned.Apply(*l.Record)
		}
		if l.Downs {
			down = l.Down
		}
	}
	return owned, down, ""
}

// Owned is what was ours when the state was opened.
func (s *State) Owned() *plan.Owned { return s.owned }

// Down lists the interfaces that somebody had taken down.
func (s *State) Down() []string { return s.down }

// Warning says what was wrong with the file, if anything.
func (s *State) Warning() string { return s.warn }

// Append writes records down. live is what is ours now, for the rewriting of
// a file that has grown long.
func (s *State) Append(recs []plan.Record, live *plan.Owned) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	for i := range recs {
		if err := enc.Encode(line{Record: &recs[i]}); err != nil {
			return fmt.Errorf("append to state: %w", err)
		}
	}
	s.lines += len(recs)
	if live != nil {
		s.owned = live
	}
	if s.torn || s.lines > compactAfter {
		return s.compact()
	}
	return s.write(b.Bytes())
}

// SetDown writes down which interfaces somebody has taken down.
func (s *State) SetDown(names []string) error {
	s.down = names
	if s.torn {
		return s.compact()
	}
	b, err := json.Marshal(line{Down: names, Downs: true})
	if err != nil {
		return err
	}
	return s.write(append(b, '\n'))
}

func (s *State) write(b []byte) error {
	if _, err := s.f.Write(b); err != nil {
		s.torn = true
		return fmt.Errorf("append to state: %w", err)
	}
	return nil
}

// compact rewrites the file with what is ours now.
func (s *State) compact() error {
	tmp := s.path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	err = enc.Encode(s.head)
	for _, r := range s.owned.Snapshot() {
		if err == nil {
			err = enc.Encode(line{Record: &r})
		}
	}
	if err == nil {
		err = enc.Encode(line{Down: s.down, Downs: true})
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = os.Rename(tmp, s.path)
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("write state: %w", err)
	}
	if s.f != nil {
		s.f.Close()
	}
	s.f, s.lines, s.torn = f, 0, false
	return nil
}

// Close closes the file; the state stays.
func (s *State) Close() error {
	err := s.f.Close()
	s.lock.Close()
	return err
}

// SaveFile writes b to path so that a reader finds the old content or the new.
func SaveFile(path string, b []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".netbraid-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("save %s: %w", path, err)
	}
	return nil
}
