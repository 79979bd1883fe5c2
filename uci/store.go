package uci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// The folders of the uci command.
const (
	DefaultConfigDir   = "/etc/config"
	DefaultOverrideDir = "/var/run/uci"
	DefaultSaveDir     = "/tmp/.uci"
)

// Store is the folders that the uci command works on: packages, and the
// changes of them that are not committed yet, one delta file a package. OpenWrt's
// uci may use the same folders at the same time: the formats and the locks are
// its own.
type Store struct {
	ConfigDir   string        // of the packages
	OverrideDir string        // a package in here is used instead of that in ConfigDir; may be empty
	SaveDir     string        // of the delta files that are written
	DeltaDirs   []string      // of the delta files that are read, in this order; SaveDir should be one of them
	Options     Options       // how to read; File is not used
	LockTimeout time.Duration // how long another process's lock is waited for; 0 is 10 s
}

// Loaded is a package with the changes that are not committed yet.
type Loaded struct {
	*Package
	Tracked bool        // its changes go to a delta file; false for a path of its own
	Changes []Change    // from the delta files, in order; also those without effect
	Bad     []DeltaLine // lines of delta files that are no changes, and were skipped

	applied int // changes that had no error
}

// Changed reports whether there were changes that could be made, which is when
// Commit writes.
func (l *Loaded) Changed() bool { return l.applied > 0 }

// List names the packages, see [List].
func (s *Store) List() ([]string, error) {
	names, err := List(s.ConfigDir)
	if s.OverrideDir == "" {
		return names, err
	}
	more, moreErr := List(s.OverrideDir)
	if err != nil && moreErr != nil {
		return nil, err
	}
	names = append(names, more...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// locate finds the file of a package.
func (s *Store) locate(name string) (path, pkg string, tracked bool, err error) {
	path, pkg, err = locate(s.ConfigDir, name)
	if err != nil || path == name {
		return path, pkg, false, err
	}
	if s.OverrideDir != "" {
		over := filepath.Join(s.OverrideDir, pkg)
		if st, err := os.Stat(over); err == nil && st.Mode().IsRegular() {
			path = over
		}
	}
	return path, pkg, true, nil
}

// Load reads a package with its changes. The errors are those of the function
// [Load].
func (s *Store) Load(name string) (*Loaded, error) {
	path, pkg, tracked, err := s.locate(name)
	if err != nil {
		return nil, err
	}
	f, err := openLocked(path, os.O_RDONLY, 0, syscall.LOCK_SH, s.LockTimeout)
	if err != nil {
		return nil, storeError("load", path, err)
	}
	defer f.Close() // and with that the lock: a commit cannot come between the two files
	l, err := s.parse(f, path, pkg)
	if err != nil || !tracked {
		return l, err
	}
	l.Tracked = true
	for _, dir := range s.DeltaDirs {
		if err := s.loadDelta(l, dir); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (s *Store) parse(f *os.File, path, pkg string) (*Loaded, error) {
	data, err := readAll(f, s.Options.maxSize())
	if err != nil {
		return nil, storeError("load", path, err)
	}
	opts := s.Options
	opts.File = path
	p, err := Parse(pkg, data, opts)
	if err != nil {
		return nil, err
	}
	return &Loaded{Package: p}, nil
}

// loadDelta reads the delta file of l in dir, when there is one.
func (s *Store) loadDelta(l *Loaded, dir string) error {
	f, err := s.openDelta(dir, l.Name, os.O_RDONLY, 0, syscall.LOCK_SH)
	if f == nil {
		return err
	}
	defer f.Close()
	_, err = s.applyDelta(l, f)
	return err
}

// openDelta opens a delta file; without an error and a file when there is none.
// A file that we may not read is as good as none, so that everybody can look at
// the configuration.
func (s *Store) openDelta(dir, pkg string, flags int, mode fs.FileMode, how int) (*os.File, error) {
	if err := trusted(dir); err != nil {
		return nil, storeError("load", dir, err)
	}
	path := filepath.Join(dir, pkg)
	f, err := openLocked(path, flags, mode, how, s.LockTimeout)
	switch {
	case err == nil:
		return f, nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular) && flags == os.O_RDONLY,
		errors.Is(err, fs.ErrPermission) && flags == os.O_RDONLY:
		return nil, nil
	}
	return nil, storeError("load", path, err)
}

// applyDelta makes the changes of a delta file and returns its lines.
func (s *Store) applyDelta(l *Loaded, f *os.File) ([]DeltaLine, error) {
	data, err := readAll(f, s.Options.maxSize())
	if err != nil {
		return nil, storeError("load", f.Name(), err)
	}
	lines, err := ParseDelta(l.Name, data, Options{File: f.Name(), MaxSize: s.Options.MaxSize})
	if err != nil {
		return nil, err
	}
	for _, d := range lines {
		switch {
		case d.Err == nil:
			l.Changes = append(l.Changes, d.Change)
			if l.Apply(d.Change) == nil {
				l.applied++
			}
		case !d.Blank():
			l.Bad = append(l.Bad, d)
		}
	}
	return lines, nil
}

// Save writes changes of l behind those in its delta file. A package that is
// not tracked has none: its file is read again, changed and replaced. l itself
// stays as it is.
func (s *Store) Save(l *Loaded, changes []Change) error {
	if !l.Tracked {
		_, err := s.replaceChanged(l.File, l.Name, changes)
		return err
	}
	if len(changes) == 0 {
		return nil
	}
	if err := s.makeSaveDir(); err != nil {
		return storeError("save", s.SaveDir, err)
	}
	mode := fs.FileMode(0o600)
	if st, err := os.Stat(l.File); err == nil {
		mode = st.Mode().Perm()
	}
	f, err := s.openDelta(s.SaveDir, l.Name, os.O_RDWR|os.O_CREATE, mode, syscall.LOCK_EX)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := readAll(f, s.Options.maxSize())
	if err != nil {
		return storeError("save", f.Name(), err)
	}
	lines, err := ParseDelta(l.Name, data, Options{File: f.Name(), MaxSize: s.Options.MaxSize})
	if err != nil {
		return err
	}
	var text []byte
	if n := len(lines); n > 0 {
		if last := &lines[n-1]; last.open {
			return storeError("save", f.Name(), fmt.Errorf("line %d is cut off: nothing can be written behind it until it is reverted", last.Line))
		}
		if data[len(data)-1] != '\n' {
			text = append(text, '\n')
		}
	}
	for _, c := range changes {
		text = append(text, c.Line()...)
		text = append(text, '\n')
	}
	if _, err := f.WriteAt(text, int64(len(data))); err != nil {
		_ = f.Truncate(int64(len(data))) // no half of a line
		return storeError("save", f.Name(), err)
	}
	return nil
}

// replaceChanged makes changes in a file that has no delta file.
func (s *Store) replaceChanged(path, pkg string, changes []Change) (*Loaded, error) {
	f, err := openLocked(path, os.O_RDONLY, 0, syscall.LOCK_EX, s.LockTimeout)
	if err != nil {
		return nil, storeError("save", path, err)
	}
	defer f.Close()
	l, err := s.parse(f, path, pkg)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if err := l.Apply(c); err != nil {
			return nil, err
		}
	}
	return l, WriteFile(path, l.Canonical())
}

// Commit writes the changes of a package into its file and empties its delta
// file in SaveDir. Without changes nothing is written. Lines that are no changes
// stay in the delta file and are in Loaded.Bad. An error leaves the delta file
// as it was.
func (s *Store) Commit(name string) (*Loaded, error) {
	path, pkg, tracked, err := s.locate(name)
	if err != nil {
		return nil, err
	}
	if !tracked {
		return s.replaceChanged(path, pkg, nil)
	}
	f, err := openLocked(path, os.O_RDONLY, 0, syscall.LOCK_EX, s.LockTimeout)
	if err != nil {
		return nil, storeError("commit", path, err)
	}
	defer f.Close()
	l, err := s.parse(f, path, pkg)
	if err != nil {
		return nil, err
	}
	l.Tracked = true
	var saved *os.File
	var keep []byte
	for _, dir := range s.DeltaDirs {
		if dir != s.SaveDir {
			err = s.loadDelta(l, dir)
		} else if saved == nil {
			if saved, keep, err = s.takeSaved(l); saved != nil {
				defer saved.Close()
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if l.applied == 0 {
		return l, nil
	}
	// The file first: a crash in between makes changes twice, but loses none.
	if err := WriteFile(path, l.Canonical()); err != nil {
		return nil, err
	}
	if saved != nil {
		if err := rewrite(saved, keep); err != nil {
			return nil, storeError("commit", saved.Name(), err)
		}
	}
	return l, nil
}

// takeSaved makes the changes of the delta file in SaveDir and returns it,
// locked, with the lines of it that are to stay.
func (s *Store) takeSaved(l *Loaded) (f *os.File, keep []byte, err error) {
	f, err = s.openDelta(s.SaveDir, l.Name, os.O_RDWR, 0, syscall.LOCK_EX)
	if f == nil {
		return nil, nil, err
	}
	lines, err := s.applyDelta(l, f)
	return f, textOf(lines, func(d *DeltaLine) bool { return d.Err != nil && !d.Blank() }), err
}

// Revert drops the changes of a package from its delta file in SaveDir, or only
// those of a section or of one of its options. Without a section it also drops
// lines that are no changes.
func (s *Store) Revert(pkg, section, option string) error {
	f, err := s.openDelta(s.SaveDir, pkg, os.O_RDWR, 0, syscall.LOCK_EX)
	if f == nil {
		return err
	}
	defer f.Close()
	data, err := readAll(f, s.Options.maxSize())
	if err != nil {
		return storeError("revert", f.Name(), err)
	}
	lines, err := ParseDelta(pkg, data, Options{File: f.Name(), MaxSize: s.Options.MaxSize})
	if err != nil {
		return err
	}
	keep := textOf(lines, func(d *DeltaLine) bool {
		return section != "" && (d.Err != nil || d.Section != section || option != "" && d.Option != option)
	})
	if err := rewrite(f, keep); err != nil {
		return storeError("revert", f.Name(), err)
	}
	return nil
}

// Replace writes a package in the place of its file, or as a new one; its delta
// file stays.
func (s *Store) Replace(p *Package) error {
	path, _, tracked, err := s.locate(p.Name)
	if err != nil {
		return err
	}
	if !tracked {
		return fail("import", p.Name, ErrInvalid)
	}
	f, err := openLocked(path, os.O_RDONLY, 0, syscall.LOCK_EX, s.LockTimeout)
	switch {
	case err == nil:
		defer f.Close()
	case !errors.Is(err, fs.ErrNotExist):
		return storeError("import", path, err)
	}
	return WriteFile(path, p.Canonical())
}

func textOf(lines []DeltaLine, keep func(*DeltaLine) bool) (text []byte) {
	for i := range lines {
		if keep(&lines[i]) {
			text = append(text, lines[i].Text...)
		}
	}
	return text
}

// makeSaveDir makes SaveDir, with the mode of ConfigDir.
func (s *Store) makeSaveDir() error {
	mode := fs.FileMode(0o700)
	if st, err := os.Stat(s.ConfigDir); err == nil {
		mode = st.Mode().Perm()
	}
	return os.MkdirAll(s.SaveDir, mode)
}

// trusted refuses a folder of delta files that belongs to another user: the
// usual place is in /tmp, where everybody can make one, and what stands there
// ends up in the configuration.
func trusted(dir string) error {
	for _, stat := range []func(string) (fs.FileInfo, error){os.Lstat, os.Stat} {
		st, err := stat(dir)
		if err != nil {
			return nil // opening the file says what is wrong
		}
		sys, ok := st.Sys().(*syscall.Stat_t)
		if uid := os.Geteuid(); ok && sys.Uid != 0 && int(sys.Uid) != uid {
			return fmt.Errorf("%s belongs to user %d, not to root or user %d: its changes are not trusted", dir, sys.Uid, uid)
		}
	}
	return nil
}

func storeError(op, object string, err error) error {
	var e *Error
	var p *ParseError
	switch {
	case errors.As(err, &e), errors.As(err, &p):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotRegular):
		return &Error{Op: op, Object: object, Kind: ErrNotFound, Detail: err}
	}
	return &Error{Op: op, Object: object, Kind: ErrIO, Detail: err}
}
