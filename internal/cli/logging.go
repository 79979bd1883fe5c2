package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"sync"

	"golang.org/x/term"
)

// levels are netifd's log levels: critical, warning, notice, info, debug.
var levels = [...]slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo, slog.LevelInfo, slog.LevelDebug}

// logging makes the daemon's log: on errs when that was asked for, when it is
// a terminal, or when there is no system log; else in the system log.
func (f *daemonFlags) logging(errs io.Writer) (*slog.Logger, error) {
	if f.level < 0 || f.level >= len(levels) {
		return nil, fmt.Errorf("log level %d: it is one of 0 critical, 1 warning, 2 notice, 3 info, 4 debug", f.level)
	}
	level := levels[f.level]
	if f.debug != 0 {
		level = slog.LevelDebug
	}
	opts := &slog.HandlerOptions{Level: level}
	file, isFile := errs.(*os.File)
	if !f.stderr && !(isFile && term.IsTerminal(int(file.Fd()))) {
		if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_NOTICE, "netbraid"); err == nil {
			return slog.New(newSyslogHandler(w, f.format, opts)), nil
		}
	}
	h, err := textOrJSON(errs, f.format, opts)
	if err != nil {
		return nil, err
	}
	return slog.New(h), nil
}

func textOrJSON(w io.Writer, format string, opts *slog.HandlerOptions) (slog.Handler, error) {
	switch format {
	case "text":
		return slog.NewTextHandler(w, opts), nil
	case "json":
		return slog.NewJSONHandler(w, opts), nil
	}
	return nil, fmt.Errorf("log format %q: it is text or json", format)
}

// syslogger is *syslog.Writer.
type syslogger interface {
	Err(string) error
	Warning(string) error
	Info(string) error
	Debug(string) error
}

// syslogHandler writes each record at its own severity; the system log has the
// time already.
type syslogHandler struct {
	slog.Handler // writes to buf
	buf          *bytes.Buffer
	mu           *sync.Mutex
	to           syslogger
}

func newSyslogHandler(to syslogger, format string, opts *slog.HandlerOptions) slog.Handler {
	buf := &bytes.Buffer{}
	short := *opts
	short.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}
	inner, err := textOrJSON(buf, format, &short)
	if err != nil {
		inner = slog.NewTextHandler(buf, &short)
	}
	return &syslogHandler{inner, buf, &sync.Mutex{}, to}
}

// Handle implements slog.Handler.
func (h *syslogHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	line := h.buf.String()
	switch {
	case r.Level >= slog.LevelError:
		return h.to.Err(line)
	case r.Level >= slog.LevelWarn:
		return h.to.Warning(line)
	case r.Level >= slog.LevelInfo:
		return h.to.Info(line)
	}
	return h.to.Debug(line)
}

// WithAttrs implements slog.Handler.
func (h *syslogHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.Handler = h.Handler.WithAttrs(attrs)
	return &n
}

// WithGroup implements slog.Handler.
func (h *syslogHandler) WithGroup(name string) slog.Handler {
	n := *h
	n.Handler = h.Handler.WithGroup(name)
	return &n
}
