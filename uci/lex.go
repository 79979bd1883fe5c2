package uci

import "strings"

// lexer walks the text one logical line at a time. A logical line is a line of
// the file and whatever lines its quotes and backslashes pull in.
//
// Errors are reported at an offset into the logical line as the uci command
// holds it in memory: newlines inside quotes count, a newline (or CR LF) that
// a backslash removes does not. drop counts those.
type lexer struct {
	src    string
	strict bool
	nul    bool // src has a NUL byte somewhere

	more func() (string, error) // gives more text, in whole lines, "" at its end; may be nil

	base int // where the logical line begins
	pos  int // where parsing stands
	end  int // nothing is visible from here on: end of line, or a comment
	next int // the first byte that has not been read
	drop int // bytes of this logical line that joins removed
	line int // lines read so far

	startLine int  // line of base
	lossy     bool // a bare ';' hid the rest of the line
	openEnd   bool // a backslash met the end of the file
	buf       []byte
}

// word is one argument: its meaning and the bytes it was written in.
type word struct {
	text       string
	start, end int
}

// syntaxError is a reason and a position, made a ParseError by the caller.
type syntaxError struct {
	reason     string
	byte, line int
	start      int
}

func (e *syntaxError) Error() string { return e.reason }

func (l *lexer) fail(reason string) error {
	return &syntaxError{reason: reason, byte: l.pos - l.base - l.drop, line: l.line, start: l.startLine}
}

// begin starts the next logical line; false at the end of the file.
func (l *lexer) begin() (bool, error) {
	if l.next >= len(l.src) {
		if l.more == nil {
			return false, nil
		}
		l.src, l.next = "", 0
		if more, err := l.fetch(); !more {
			return false, err
		}
	}
	l.base, l.pos, l.drop = l.next, l.next, 0
	l.startLine = l.line + 1
	l.lossy, l.openEnd = false, false
	_, err := l.read()
	return true, err
}

// fetch gets more text; false when there is none.
func (l *lexer) fetch() (bool, error) {
	if l.more == nil {
		return false, nil
	}
	text, err := l.more()
	l.src += text
	l.nul = l.nul || strings.IndexByte(text, 0) >= 0
	return text != "", err
}

// read makes the next line of the file visible; false at the end of the file.
func (l *lexer) read() (bool, error) {
	if l.next >= len(l.src) {
		if more, err := l.fetch(); !more {
			return false, err
		}
	}
	from := l.next
	if i := strings.IndexByte(l.src[from:], '\n'); i >= 0 {
		l.next = from + i + 1
	} else {
		l.next = len(l.src)
	}
	l.end = l.next
	l.line++
	if l.nul && strings.IndexByte(l.src[from:l.next], 0) >= 0 {
		return true, l.fail("NUL byte in line")
	}
	return true, nil
}

// cur is the byte at pos, or 0 at the end of what is visible.
func (l *lexer) cur() byte {
	if l.pos < l.end {
		return l.src[l.pos]
	}
	return 0
}

// class of a byte outside quotes.
const (
	plain = iota
	space
	special // ' " \ # ;
)

var class = func() (t [256]uint8) {
	for _, c := range " \t\n\v\f\r" {
		t[c] = space
	}
	for _, c := range "'\"\\#;" {
		t[c] = special
	}
	return t
}()

func (l *lexer) skipSpace() {
	for l.pos < l.end && class[l.src[l.pos]] == space {
		l.pos++
	}
}

// keyword returns the next word up to a space or tab and the offset behind it,
// without moving. ok is false when nothing is left.
func (l *lexer) keyword() (w string, end int, ok bool) {
	i := l.pos
	for i < l.end && (l.src[i] == ' ' || l.src[i] == '\t') {
		i++
	}
	if i >= l.end {
		return "", i, false
	}
	j := i
	for j < l.end && l.src[j] != ' ' && l.src[j] != '\t' {
		j++
	}
	return l.src[i:j], j, true
}

// arg reads the next argument; an absent one is an empty word.
func (l *lexer) arg() (word, error) {
	l.skipSpace()
	if l.cur() == ';' {
		w := word{"", l.pos, l.pos}
		l.pos++
		return w, nil
	}
	start := l.pos
	if l.cur() == '\'' {
		if w, ok := l.simpleQuote(); ok {
			return w, nil
		}
	}
	for l.pos < l.end && class[l.src[l.pos]] == plain {
		l.pos++
	}
	w := word{start: start, end: l.pos, text: l.src[start:l.pos]}
	switch c := l.cur(); {
	case c == 0:
	case class[c] == space:
		l.pos++
	case c == '#':
		l.end = l.pos
	case c == ';':
		l.end, l.lossy = l.pos, true
	default:
		return l.pieces(start)
	}
	return w, nil
}

// simpleQuote reads '…' that stays in the line and is a whole word.
func (l *lexer) simpleQuote() (word, bool) {
	i := strings.IndexByte(l.src[l.pos+1:l.end], '\'')
	if i < 0 {
		return word{}, false
	}
	closing := l.pos + 1 + i
	behind := closing + 1
	if behind < l.end && class[l.src[behind]] != space {
		return word{}, false
	}
	w := word{text: l.src[l.pos+1 : closing], start: l.pos, end: behind}
	l.pos = min(behind+1, l.end)
	return w, true
}

// pieces reads a word that has quotes or backslashes. l.pos is behind the bare
// bytes that it begins with.
func (l *lexer) pieces(start int) (word, error) {
	l.buf = append(l.buf[:0], l.src[start:l.pos]...)
	var err error
loop:
	for {
		switch c := l.cur(); c {
		case '\'':
			err = l.single()
		case '"':
			err = l.double()
		case 0, ';':
			break loop // a quote or backslash came before, so ';' stays visible
		case '#':
			l.end = l.pos
			break loop
		case '\\':
			var taken bool
			if taken, err = l.backslash(); taken {
				l.take()
			}
		default:
			l.take()
		}
		if err != nil {
			return word{}, err
		}
		if c := l.cur(); c == 0 || class[c] == space {
			break
		}
	}
	w := word{text: string(l.buf), start: start, end: l.pos}
	if c := l.cur(); c != 0 && c != ';' {
		l.pos++
	}
	return w, nil
}

func (l *lexer) take() {
	l.buf = append(l.buf, l.src[l.pos])
	l.pos++
}

// backslash steps over a backslash. It reports false when the backslash ended
// the line and the next one now follows.
func (l *lexer) backslash() (bool, error) {
	l.pos++
	c := l.cur()
	if c == 0 || c == '\n' || c == '\r' && l.pos+2 == l.next && l.src[l.pos+1] == '\n' {
		l.drop += l.next - l.pos
		l.pos = l.next
		more, err := l.read()
		if !more {
			l.end, l.openEnd = l.pos, true
		}
		return false, err
	}
	return true, nil
}

// single reads '…' into buf: everything is literal.
func (l *lexer) single() error {
	opened := l.line
	l.pos++
	for {
		if i := strings.IndexByte(l.src[l.pos:l.end], '\''); i >= 0 {
			l.buf = append(l.buf, l.src[l.pos:l.pos+i]...)
			l.pos += i + 1
			return nil
		}
		l.buf = append(l.buf, l.src[l.pos:l.end]...)
		l.pos = l.end
		if err := l.moreQuoted(opened, "'"); err != nil {
			return err
		}
	}
}

// double reads "…" into buf: a backslash takes the next byte as it is.
func (l *lexer) double() error {
	opened := l.line
	l.pos++
	for {
		switch l.cur() {
		case '"':
			l.pos++
			return nil
		case 0:
			if err := l.moreQuoted(opened, "\""); err != nil {
				return err
			}
		case '\\':
			taken, err := l.backslash()
			if err != nil {
				return err
			}
			if taken {
				l.take()
			}
		default:
			l.take()
		}
	}
}

func (l *lexer) moreQuoted(opened int, quote string) error {
	more, err := l.read()
	if err != nil || more {
		return err
	}
	e := l.fail(unterminated + quote).(*syntaxError)
	e.start = opened
	return e
}

// unterminated is how the reason for a quote without an end begins.
const unterminated = "EOF with unterminated "
