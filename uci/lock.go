package uci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// lockTimeout is how long a lock is waited for when Store.LockTimeout is 0.
const lockTimeout = 10 * time.Second

// errLocked says that another process kept its lock for too long.
var errLocked = errors.New("locked by another process")

// openLocked opens a regular file and takes its flock(2), shared or exclusive,
// as the uci command does. A file that another process replaces meanwhile is
// opened anew, so that what is read is what stands at path. mode is that of a
// file that O_CREATE makes.
func openLocked(path string, flags int, mode fs.FileMode, how int, timeout time.Duration) (*os.File, error) {
	if timeout <= 0 {
		timeout = lockTimeout
	}
	deadline := time.Now().Add(timeout)
	for {
		f, err := openRegular(path, flags, mode)
		if err != nil {
			return nil, err
		}
		if err := flock(f, how, deadline); err != nil {
			f.Close()
			return nil, err
		}
		mine, err := f.Stat()
		if err != nil {
			f.Close()
			return nil, err
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		f.Close()
	}
}

// openRegular opens what must be a regular file; a FIFO does not block it.
func openRegular(path string, flags int, mode fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, mode)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func flock(f *os.File, how int, deadline time.Time) error {
	const most = 50 * time.Millisecond
	for wait := time.Millisecond; ; wait = min(2*wait, most) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil,
			errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOTSUP): // a file system without locks
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: %w", f.Name(), errLocked)
		}
		time.Sleep(wait)
	}
}

// readAll reads f from its beginning, at most limit bytes (negative: any
// number).
func readAll(f *os.File, limit int64) ([]byte, error) {
	var r io.Reader = io.NewSectionReader(f, 0, 1<<62)
	if limit >= 0 {
		r = io.LimitReader(r, limit+1)
	}
	data, err := io.ReadAll(r)
	if err == nil && limit >= 0 && int64(len(data)) > limit {
		return nil, tooLarge("load", f.Name(), int64(len(data)), limit)
	}
	return data, err
}

// rewrite puts data in the place of all that f has. What it has stays readable
// as long as possible: other processes wait for the lock on this very file, so
// it cannot be replaced by another.
func rewrite(f *os.File, data []byte) error {
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(data)))
}
