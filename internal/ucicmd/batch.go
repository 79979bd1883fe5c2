package ucicmd

import (
	"errors"
	"io"
	"strings"

	"netbraid/uci"
)

// maxWords is how many words a line of a batch may have.
const maxWords = 3

// runBatch does the commands of the input, one a line. What goes wrong is
// printed and stops nothing.
func (c *command) runBatch() int {
	c.batch = uci.NewWordReader(c.in)
	defer func() { c.batch = nil }()
	for {
		words, err := c.batch.ReadLine(maxWords + 1)
		var pe *uci.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return exitOK
		case err != nil && !errors.As(err, &pe):
			c.complain(err)
			return exitFailed
		case err != nil:
			c.complain(err)
		case len(words) > maxWords:
			c.say("Too many arguments\n")
		case len(words) == 0:
		case strings.EqualFold(words[0], "exit"):
			return exitOK
		case c.run(words) == exitUsage:
			c.say("Unknown command\n")
		}
		if err := c.out.Flush(); err != nil {
			c.say("%s: write: %v\n", c.prog, err)
			return exitFailed
		}
		if c.parsed { // the original counts anew behind a file that it read
			c.batch.ResetLine()
			c.parsed = false
		}
	}
}
