package resolv

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"netbraid/internal/store"
)

// DefaultEtc is the file that the C library reads.
const DefaultEtc = "/etc/resolv.conf"

// OpenWrtFile is the file that dnsmasq reads on OpenWrt.
const OpenWrtFile = "/tmp/resolv.conf.d/resolv.conf.auto"

// DefaultFile is the file that is written when none is given: on OpenWrt
// OpenWrtFile, elsewhere resolv.conf in the daemon's run directory.
func DefaultFile(runDir string) string {
	if _, err := os.Stat("/etc/openwrt_release"); err == nil {
		return OpenWrtFile
	}
	return filepath.Join(runDir, "resolv.conf")
}

// Link is what to ask on one link.
type Link struct {
	Device  string
	Servers []string // addresses, link-local ones with %DEVICE
	Search  []string
}

// State is all that the resolver is to use.
type State struct {
	Text  string // of the file
	Links []Link // at most one a device
}

// Options of a Writer.
type Options struct {
	File string // to write; required
	// Etc is the file that tells who owns the resolver; default DefaultEtc.
	Etc string
	// Tell: tell resolvconf or systemd-resolved, where one of them owns Etc.
	Tell bool
	// Limit is how long a program that is told may take; default 10 s.
	Limit time.Duration
	Log   *slog.Logger // default slog.Default()
}

// Writer writes what it was given last. Writing and telling are done beside
// the caller; of several states that come meanwhile only the last one counts.
type Writer struct {
	o      Options
	mu     sync.Mutex
	next   *State
	wake   chan struct{}
	ctx    context.Context
	cancel context.CancelFunc
	done   chan struct{}

	told    []Link // to systemd-resolved
	toldTxt string // to resolvconf
	warned  string
}

// New starts a writer. Close ends it.
func New(o Options) *Writer {
	if o.Etc == "" {
		o.Etc = DefaultEtc
	}
	if o.Limit == 0 {
		o.Limit = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	w := &Writer{o: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	go w.run()
	return w
}

// Set hands a state over. It never blocks.
func (w *Writer) Set(s State) {
	w.mu.Lock()
	w.next = &s
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Close waits for what is being written; a program that is being told is ended.
// What was written and told stays in force.
func (w *Writer) Close() {
	w.cancel()
	<-w.done
}

func (w *Writer) run() {
	defer close(w.done)
	for {
		w.mu.Lock()
		s := w.next
		w.next = nil
		w.mu.Unlock()
		if s != nil {
			w.apply(s)
		}
		select {
		case <-w.wake:
		case <-w.ctx.Done():
			return
		}
	}
}

func (w *Writer) apply(s *State) {
	if err := write(w.o.File, s.Text); err != nil {
		w.o.Log.Error("resolv.conf: cannot write the file", "error", err)
	}
	if !w.o.Tell {
		return
	}
	own := owner(w.o.Etc)
	var err error
	switch own {
	case resolvconf:
		err = w.tellResolvconf(s.Text)
	case resolved:
		err = w.tellResolved(s.Links)
	}
	if err != nil && w.ctx.Err() == nil && err.Error() != w.warned {
		w.warned = err.Error()
		w.o.Log.Warn("resolv.conf: cannot tell its owner", "owner", own, "error", err)
	} else if err == nil {
		w.warned = ""
	}
}

// write replaces the file when it has another content.
func write(path, text string) error {
	old, err := os.ReadFile(path)
	if err == nil && string(old) == text {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return store.SaveFile(path, []byte(text), 0o644)
}

// The programs that may own /etc/resolv.conf.
const (
	nobody     = ""
	resolvconf = "resolvconf"
	resolved   = "systemd-resolved"
)

// owner tells who owns the file that the C library reads: a symbolic link into
// a program's folder says so.
func owner(etc string) string {
	target, err := os.Readlink(etc)
	if err != nil {
		return nobody
	}
	switch {
	case strings.Contains(target, "systemd/resolve/"):
		return resolved
	case strings.Contains(target, "resolvconf/"):
		return resolvconf
	}
	return nobody
}

func (w *Writer) tellResolvconf(text string) error {
	if text == w.toldTxt {
		return nil
	}
	args := []string{"-a", "netbraid"}
	if text == "" {
		args[0] = "-d"
	}
	if err := w.call(text, "resolvconf", args...); err != nil {
		return err
	}
	w.toldTxt = text
	return nil
}

// tellResolved tells what has changed since the last time, link by link.
func (w *Writer) tellResolved(links []Link) error {
	var errs []error
	var now []Link
	for _, old := range w.told {
		if slices.ContainsFunc(links, func(l Link) bool { return l.Device == old.Device }) {
			continue
		}
		// A link that has gone has taken its servers with it.
		if _, err := os.Stat("/sys/class/net/" + old.Device); err == nil {
			if err := w.call("", "resolvectl", "revert", old.Device); err != nil {
				errs = append(errs, err)
				now = append(now, old)
			}
		}
	}
	for _, l := range links {
		if l.Device == "" || slices.ContainsFunc(w.told, func(o Link) bool { return sameLink(o, l) }) {
			now = append(now, l)
			continue
		}
		err := w.call("", "resolvectl", append([]string{"dns", l.Device}, orNone(l.Servers)...)...)
		if err == nil {
			err = w.call("", "resolvectl", append([]string{"domain", l.Device}, orNone(l.Search)...)...)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		now = append(now, l)
	}
	w.told = now
	return errors.Join(errs...)
}

// orNone is the list, or what stands for an empty one.
func orNone(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

func sameLink(a, b Link) bool {
	return a.Device == b.Device && slices.Equal(a.Servers, b.Servers) && slices.Equal(a.Search, b.Search)
}
