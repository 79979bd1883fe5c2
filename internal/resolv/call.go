package resolv

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// maxWords bounds what an error repeats of a program's output.
const maxWords = 500

// call runs a program to its end, or ends it and its children when its time is
// over.
func (w *Writer) call(input, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(w.ctx, w.o.Limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // for what holds its output open
	cmd.Stdin = strings.NewReader(input)
	var out limited
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			err = fmt.Errorf("took longer than %s and was ended", w.o.Limit)
		}
		return fmt.Errorf("%s %s: %w%s", name, strings.Join(args, " "), err, out.words())
	}
	return nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ b bytes.Buffer }

func (l *limited) Write(b []byte) (int, error) {
	l.b.Write(b[:min(len(b), maxWords-l.b.Len())])
	return len(b), nil
}

func (l *limited) words() string {
	if s := strings.Join(strings.Fields(l.b.String()), " "); s != "" {
		return ": " + s
	}
	return ""
}
