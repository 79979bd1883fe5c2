package hotplug

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const shell = "/bin/sh"

// source runs a script as hotplug-call does: read by a shell that has
// OpenWrt's functions, where they are installed.
const source = `[ -f /lib/functions.sh ] && . /lib/functions.sh; . "$0"`

// commands gives what is to be run for an event: program, where it is there,
// else the scripts in dir, by name.
func commands(program, dir string) ([][]string, error) {
	if fi, err := os.Stat(program); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
		return [][]string{{program, "iface"}}, nil
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	var out [][]string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		fi, err := os.Stat(path) // a link to a script is one
		if err != nil || !fi.Mode().IsRegular() || leftOver(e.Name()) {
			continue
		}
		if fi.Mode()&0o111 != 0 && ownInterpreter(path) {
			out = append(out, []string{path, "iface"})
		} else {
			out = append(out, []string{shell, "-c", source, path, "iface"})
		}
	}
	return out, nil
}

// leftOver tells whether a name is that of a copy which an editor or a package
// manager has left, or hidden.
func leftOver(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.Contains(name, ".dpkg-")
}

// ownInterpreter tells whether a file says that something else than a shell is
// to run it.
func ownInterpreter(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [256]byte
	n, _ := f.Read(b[:])
	line, _, _ := bytes.Cut(b[:n], []byte("\n"))
	if bytes.HasPrefix(line, []byte("\x7fELF")) {
		return true
	}
	interpreter, ok := bytes.CutPrefix(line, []byte("#!"))
	if !ok {
		return false
	}
	words := strings.Fields(string(interpreter))
	if len(words) > 1 && filepath.Base(words[0]) == "env" {
		words = words[1:]
	}
	if len(words) == 0 {
		return false
	}
	switch filepath.Base(words[0]) {
	case "sh", "ash", "dash", "busybox":
		return false
	}
	return true
}
