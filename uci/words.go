package uci

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// WordReader reads lines of words by the rules of UCI files, as "uci batch"
// does: quotes, backslashes, comments. It reads no further than it must, so that
// somebody may type at the other end.
type WordReader struct {
	r *bufio.Reader
	l lexer
}

// NewWordReader reads from r.
func NewWordReader(r io.Reader) *WordReader {
	w := &WordReader{r: bufio.NewReaderSize(r, 1<<16)}
	w.l.more = w.more
	return w
}

// ReadLine returns the words of the next line, at most that many; the rest of
// the line is lost. A word in quotes may go over lines. An empty word ends the
// line. A blank line or a comment has no words. The error is io.EOF, a
// *ParseError for a quote without an end, an *Error of kind ErrTooLarge, or the
// reader's.
func (w *WordReader) ReadLine(most int) (words []string, err error) {
	more, err := w.l.begin()
	if !more && err == nil {
		return nil, io.EOF
	}
	for err == nil && len(words) < most {
		var next word
		if next, err = w.l.arg(); err != nil || next.text == "" {
			break
		}
		words = append(words, strings.Clone(next.text))
	}
	var se *syntaxError
	if errors.As(err, &se) {
		err = &ParseError{Line: se.line, Start: se.start, Byte: se.byte, Reason: se.reason}
	}
	if err != nil {
		return nil, err
	}
	return words, nil
}

// Line is the number of lines read since the start or ResetLine.
func (w *WordReader) Line() int { return w.l.line }

// ResetLine makes the next line number 1.
func (w *WordReader) ResetLine() { w.l.line = 0 }

// Rest is what follows the line read last. After this call ReadLine has what the
// caller leaves of it.
func (w *WordReader) Rest() io.Reader {
	rest := w.l.src[min(w.l.next, len(w.l.src)):]
	w.l.src, w.l.next = "", 0
	return io.MultiReader(strings.NewReader(rest), w.r)
}

// more reads a line, and the whole lines that are there behind it without
// waiting. A logical line has a limit as a file has.
func (w *WordReader) more() (string, error) {
	var b []byte
	for {
		part, err := w.r.ReadSlice('\n')
		b = append(b, part...)
		if size := int64(len(w.l.src) + len(b)); size > DefaultMaxSize {
			return "", tooLarge("read", "line", size, DefaultMaxSize)
		}
		switch {
		case err == nil:
			there, _ := w.r.Peek(w.r.Buffered())
			n := strings.LastIndexByte(string(there), '\n') + 1
			b = append(b, there[:n]...)
			_, _ = w.r.Discard(n)
			return string(b), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF):
			return string(b), nil
		default:
			return "", err
		}
	}
}
