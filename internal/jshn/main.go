package jshn

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"netbraid/internal/getopt"
)

// The exit codes of jshn.
const (
	exitOK     = 0
	exitFailed = 1   // bad JSON, bad variables, or the output cannot be written
	exitUsage  = 2   // wrong options
	exitFile   = 3   // a file cannot be opened or read
	exitDeep   = 255 // -i: nested deeper than the pretty printer reads
)

// maxFile is the largest file that -R reads, in bytes.
const maxFile = 64 << 20

// Main runs jshn and returns its exit code. prog is the name for usage texts,
// args what follows it, environ the environment as os.Environ gives it.
func Main(prog string, args, environ []string, stdout, stderr io.Writer) int {
	c := command{environ: environ, out: stdout, err: stderr}
	options := getopt.New(args, "p:nir:R:o:w")
	for {
		letter, value, err := options.Next()
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", prog, err)
		}
		switch letter {
		case 'p':
			c.prefix = value
		case 'n':
			c.noNewline = true
		case 'i':
			c.style.indent = true
		case 'r':
			return c.parse(value)
		case 'R':
			return c.parseFile(value)
		case 'w':
			return c.dump(stdout)
		case 'o':
			return c.dumpFile(value)
		default:
			fmt.Fprintf(stderr, "Usage: %s [-n] [-i] -r <message>|-R <file>|-o <file>|-p <prefix>|-w\n", prog)
			return exitUsage
		}
	}
}

// command is the state of one run.
type command struct {
	environ   []string
	prefix    string
	style     style
	noNewline bool
	out, err  io.Writer
}

func (c *command) fail(code int, format string, args ...any) int {
	fmt.Fprintf(c.err, format+"\n", args...)
	return code
}

// parse writes the shell code for a JSON object.
func (c *command) parse(text string) int {
	v, err := parse(text)
	if err != nil {
		return c.fail(exitFailed, "%v", err)
	}
	b := append(make([]byte, 0, 64+2*len(text)), "json_init;\n"...)
	if _, err := c.out.Write(shell(b, v.elems, false)); err != nil {
		return c.fail(exitFailed, "jshn: write: %v", err)
	}
	return exitOK
}

func (c *command) parseFile(path string) int {
	// Without blocking: nobody may have the other end of a FIFO.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return c.fail(exitFile, "Error opening %s", path)
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return c.fail(exitFile, "Error getting size of %s", path)
	case st.Size() > maxFile:
		return c.fail(exitFile, "File %s has invalid size", path)
	}
	text := make([]byte, st.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return c.fail(exitFile, "Error reading %s", path)
	}
	return c.parse(string(text))
}

// dump writes the JSON of the variables.
func (c *command) dump(w io.Writer) int {
	root := value{kind: kindObject}
	var err error
	if root.elems, err = newEnvironment(c.environ, c.prefix).table("J_V", false); err != nil {
		return c.fail(exitFailed, "jshn: %v", err)
	}
	if c.style.indent && nesting(&root) > maxDepth {
		return c.fail(exitDeep, "jshn: nested deeper than %d", maxDepth)
	}
	b := c.style.format(nil, &root, 0)
	if !c.noNewline {
		b = append(b, '\n')
	}
	if _, err := w.Write(b); err != nil {
		return c.fail(exitFailed, "jshn: write: %v", err)
	}
	return exitOK
}

func (c *command) dumpFile(path string) int {
	f, err := os.Create(path)
	if err != nil {
		return c.fail(exitFile, "Error opening %s", path)
	}
	code := c.dump(f)
	if err := f.Close(); err != nil && code == exitOK {
		return c.fail(exitFailed, "jshn: %v", err)
	}
	return code
}
