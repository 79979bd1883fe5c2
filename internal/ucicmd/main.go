package ucicmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"netbraid/internal/getopt"
	"netbraid/uci"
)

// Main runs one uci command and returns its exit code: 0, 1 for an error, 255
// for an unknown command or a wrong number of arguments; add returns the number
// of its error. prog is the name in messages, args what follows it.
func Main(prog string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &command{
		prog: prog, in: stdin, err: stderr,
		store: uci.Store{
			ConfigDir: uci.DefaultConfigDir, OverrideDir: uci.DefaultOverrideDir,
			SaveDir: uci.DefaultSaveDir, DeltaDirs: []string{uci.DefaultSaveDir},
		},
	}
	return c.main(args, stdout)
}

func (c *command) main(args []string, stdout io.Writer) int {
	c.out = bufio.NewWriter(stdout)
	rest, code, ok := c.parseOptions(args)
	if c.inFile != nil {
		defer c.inFile.Close()
	}
	if !ok {
		return code
	}
	if len(rest) == 0 {
		c.usage()
		return exitOK
	}
	code = c.run(rest)
	if code == exitUsage {
		c.usage()
	}
	if err := c.out.Flush(); err != nil && code == exitOK {
		c.complain(fmt.Errorf("write: %w", err))
		code = exitFailed
	}
	return code
}

// command is the state of one run.
type command struct {
	prog   string
	store  uci.Store
	format uci.Format
	merge  bool // import: into what is there
	quiet  bool // no messages
	frozen bool // commit does nothing
	in     io.Reader
	inFile *os.File // behind in, when -f was given
	out    *bufio.Writer
	err    io.Writer

	batch  *uci.WordReader // where the commands come from, in batch mode
	parsed bool            // a file has been parsed since the last command of a batch
}

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 255
)

// parseOptions takes the options out of args. When ok is false the run is over.
func (c *command) parseOptions(args []string) (rest []string, code int, ok bool) {
	options := getopt.New(args, "c:C:d:f:LmnNp:P:qsSt:X")
	for {
		letter, value, err := options.Next()
		if err != nil {
			fmt.Fprintf(c.err, "%s: %v\n", c.prog, err)
			c.usage()
			return nil, exitOK, false
		}
		switch letter {
		case 0:
			return options.Rest(), exitOK, true
		case 'c':
			c.store.ConfigDir = value
		case 'C':
			c.store.OverrideDir = value
		case 'd':
			c.format.Delimiter, c.format.Joined = value, value == ""
		case 'f':
			if !c.openInput(value) {
				return nil, exitFailed, false
			}
		case 'm':
			c.merge = true
		case 'n':
			c.format.Named = true
		case 'N':
			c.format.Named = false
		case 'p':
			c.addDeltaDir(value)
		case 'P':
			c.setSaveDir(value)
			c.frozen = true
		case 't':
			c.setSaveDir(value)
		case 'q':
			c.quiet = true
		case 's':
			c.store.Options.NonStrict = false
		case 'S':
			c.store.Options.NonStrict = true
		case 'X':
			c.format.Plain = true
		default: // L, which the original takes and does not know
			c.usage()
			return nil, exitOK, false
		}
	}
}

// openInput is for -f; false when it has said what is wrong.
func (c *command) openInput(path string) bool {
	if c.inFile != nil {
		c.say("Too many input files.\n")
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		var no syscall.Errno
		text := err.Error()
		if errors.As(err, &no) {
			text = no.Error()
			text = strings.ToUpper(text[:1]) + text[1:] // as C's library has it
		}
		c.say("uci: %s", text) // without a newline, as in the original
		return false
	}
	c.in, c.inFile = f, f
	return true
}

// addDeltaDir puts a folder in front of the one that is saved to.
func (c *command) addDeltaDir(dir string) {
	dirs := c.store.DeltaDirs
	if !slices.Contains(dirs, dir) {
		c.store.DeltaDirs = slices.Insert(dirs, len(dirs)-1, dir)
	}
}

// setSaveDir saves to a folder, whose changes then come last; those of the
// folder that was saved to before are still read.
func (c *command) setSaveDir(dir string) {
	others := slices.DeleteFunc(c.store.DeltaDirs, func(d string) bool { return d == dir })
	c.store.DeltaDirs = append(others, dir)
	c.store.SaveDir = dir
}

// run does one command; its words are not empty.
func (c *command) run(words []string) int {
	verb, args := strings.ToLower(words[0]), words[1:]
	switch verb {
	case "batch":
		if c.batch != nil {
			return exitUsage
		}
		return c.runBatch()
	case "show", "export", "changes", "commit":
		return c.packages(verb, args)
	case "get", "set", "add_list", "del_list", "rename", "ren", "revert", "reorder", "delete", "del":
		if len(args) != 1 {
			return exitUsage
		}
		return c.section(verb, args[0])
	case "add":
		if len(args) != 2 {
			return exitUsage
		}
		return c.add(args[0], args[1])
	case "import":
		return c.importPackages(args)
	case "help":
		c.usage()
		return exitOK
	}
	return exitUsage
}

// say writes a message, unless quiet.
func (c *command) say(format string, args ...any) {
	if !c.quiet {
		fmt.Fprintf(c.err, format, args...)
	}
}

// complain reports an error in the original's words. What those do not tell
// stands in a second line.
func (c *command) complain(err error) {
	text := uci.Message(err)
	if text == "" {
		return
	}
	// The original adds where it stands in the input, whatever it was about.
	if text == uci.ErrParse.Error() && c.batch != nil {
		text = fmt.Sprintf("%s (unknown) at line %d, byte 0", text, c.batch.Line())
	}
	c.say("%s: %s\n", c.prog, text)
	var e *uci.Error
	if errors.As(err, &e) && (e.Kind == uci.ErrIO || e.Kind == uci.ErrInvalid) && e.Detail != nil {
		c.say("%s: %v\n", c.prog, e.Detail)
	}
}

// load reads a package and prints the lines of it that were skipped (-S), which
// quiet does not suppress.
func (c *command) load(name string) (*uci.Loaded, error) {
	l, err := c.store.Load(name)
	c.skipped(l, err)
	return l, err
}

func (c *command) skipped(l *uci.Loaded, err error) {
	var pe *uci.ParseError
	c.parsed = c.parsed || err == nil || errors.As(err, &pe)
	if err == nil {
		for _, e := range l.Errors {
			fmt.Fprintln(c.err, uci.Message(e))
		}
	}
}

// number is the original's number of an error.
func number(err error) int {
	for i, kind := range []error{uci.ErrInvalid, uci.ErrNotFound, uci.ErrIO, uci.ErrParse, uci.ErrDuplicate} {
		if errors.Is(err, kind) {
			return i + 2
		}
	}
	return exitFailed
}
