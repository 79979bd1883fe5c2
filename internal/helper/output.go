package helper

import (
	"bufio"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"
)

// Bounds of what a program can bring into the log. What it writes beyond the
// octets a second waits in its pipe, and it with it.
const (
	maxLine    = 4 << 10 // octets of a line; the rest of it is left out
	maxLines   = 50      // lines a second; the rest is counted
	maxOctets  = 1 << 20 // octets read a second
	burstRange = time.Second
)

// follow writes the lines of a program to the log until the last one who could
// write has gone.
func follow(r *os.File, log *slog.Logger) {
	defer r.Close()
	f := follower{log: log, began: time.Now()}
	in := bufio.NewReaderSize(r, maxLine)
	for {
		part, err := in.ReadSlice('\n')
		f.part(part, errors.Is(err, bufio.ErrBufferFull))
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			f.tell()
			if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
				log.Warn("cannot read what the program prints", "error", err)
			}
			return
		}
	}
}

// follower counts what a program prints.
type follower struct {
	log    *slog.Logger
	began  time.Time // of this second
	lines  int
	octets int
	left   int  // lines left out in this second
	inLine bool // the line before is not at its end
}

// part takes a line, or as much of a long one as is read at a time.
func (f *follower) part(b []byte, more bool) {
	f.octets += len(b)
	if len(b) > 0 && !f.inLine {
		f.line(b, more)
	}
	f.inLine = more
	if d := time.Since(f.began); d >= burstRange {
		f.tell()
	} else if f.octets > maxOctets {
		time.Sleep(burstRange - d)
		f.tell()
	}
}

func (f *follower) line(b []byte, cut bool) {
	f.lines++
	if f.lines > maxLines {
		f.left++
		return
	}
	text := strings.ToValidUTF8(strings.TrimRight(string(b), "\r\n"), "\ufffd")
	text = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r == 0x7f {
			return '\ufffd'
		}
		return r
	}, text)
	if cut {
		text += "…"
	}
	f.log.Info(text)
}

// tell ends a second.
func (f *follower) tell() {
	if f.left > 0 {
		f.log.Warn("the program prints too much: lines left out", "lines", f.left)
	}
	f.began, f.lines, f.octets, f.left = time.Now(), 0, 0, 0
}
