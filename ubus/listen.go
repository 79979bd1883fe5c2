package ubus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ListenOrDial connects to the broker at path, or, when none listens there,
// returns a listener for one. The listener's socket appears under path with
// mode 0666 and listening, never half made; a stale socket file is removed;
// missing directories are made. Of several processes that try at the same
// time one gets the listener and the others become its clients: a lock on
// path.lock, held while the listener is open, decides. Closing the listener
// removes the socket, if it is still there.
func ListenOrDial(ctx context.Context, path string) (net.Listener, *Client, error) {
	for {
		client, err := Dial(ctx, path)
		if err == nil {
			return nil, client, nil
		}
		if ctx.Err() != nil || !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, nil, err
		}
		l, err := tryListen(path)
		if err == nil {
			return l, nil, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, nil, err
		}
		select { // somebody else is about to listen
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("ubus: listen on %s: %w", path, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// errBusy means that another process holds the lock or just made the socket.
var errBusy = errors.New("another process is about to listen")

func tryListen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("ubus: listen on %s: %w", path, err)
	}
	lock, err := takeLock(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := listenLocked(path)
	if err != nil {
		lock.Close()
		return nil, err
	}
	return &socketListener{UnixListener: l, path: path, lock: lock, inode: inodeOf(path)}, nil
}

func takeLock(name string) (*os.File, error) {
	lock, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ubus: lock %s: %w", name, err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("ubus: lock %s: %w", name, err)
	}
	return lock, nil
}

// listenLocked makes the socket under another name and links it to path, which
// fails when something is there.
func listenLocked(path string) (*net.UnixListener, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	temp := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(temp) // ours alone: the lock is held
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temp, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("ubus: listen on %s: %w", path, err)
	}
	l.SetUnlinkOnClose(false)
	defer os.Remove(temp)
	if err = os.Chmod(temp, 0o666); err == nil {
		err = os.Link(temp, path)
	}
	if err != nil {
		l.Close()
		if errors.Is(err, os.ErrExist) {
			return nil, errBusy
		}
		return nil, fmt.Errorf("ubus: listen on %s: %w", path, err)
	}
	return l, nil
}

// removeStale removes a socket at path that nobody listens on.
func removeStale(path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("ubus: listen on %s: %w", path, err)
	}
	if st.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("ubus: listen on %s: a file that is not a socket is there", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
		return errBusy
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("ubus: listen on %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("ubus: listen on %s: stale socket: %w", path, err)
	}
	return nil
}

// socketListener removes its socket and gives up the lock when it is closed.
type socketListener struct {
	*net.UnixListener
	path  string
	inode uint64
	lock  *os.File
	once  sync.Once
	err   error
}

func (l *socketListener) Close() error {
	l.once.Do(func() {
		if l.inode != 0 && inodeOf(l.path) == l.inode {
			os.Remove(l.path)
		}
		l.err = l.UnixListener.Close()
		l.lock.Close()
	})
	return l.err
}

func inodeOf(path string) uint64 {
	st, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return sys.Ino
	}
	return 0
}
