package shelllib

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"netbraid/share/netifd"
)

// Paths returns where the files of the library belong, as absolute paths in
// lexical order.
func Paths() []string {
	var out []string
	// The tree is embedded: it is always readable.
	_ = fs.WalkDir(netifd.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			out = append(out, "/"+name)
		}
		return err
	})
	slices.Sort(out)
	return out
}

// Install writes the library below root, "/" for the running system, and
// returns the paths that it has written, as in Paths. A file that is there
// already is left as it is, whatever it says: on OpenWrt all of them are the
// system's own (see Differing). Each file appears whole or not at all, mode
// 0644. Symbolic links are followed as long as they stay below root. On an error
// written has what was done up to then.
func Install(root string) (written []string, err error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("install shell library: %w", err)
	}
	defer r.Close()
	for _, p := range Paths() {
		done, err := installFile(r, p[1:])
		if err != nil {
			return written, fmt.Errorf("install shell library below %s: %w", root, err)
		}
		if done {
			written = append(written, p)
		}
	}
	return written, nil
}

// installFile writes one file unless there is one. The link that makes it
// appear fails if somebody else was faster.
func installFile(r *os.Root, name string) (done bool, err error) {
	if _, err := r.Lstat(name); err == nil {
		return false, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	data, err := netifd.Files.ReadFile(name)
	if err != nil {
		return false, err
	}
	if err := r.MkdirAll(path.Dir(name), 0o755); err != nil {
		return false, err
	}
	temporary := fmt.Sprintf("%s.netbraid-%d", name, os.Getpid())
	defer func() {
		if e := r.Remove(temporary); err == nil && e != nil {
			err = e
		}
	}()
	if err := r.WriteFile(temporary, data, 0o644); err != nil {
		return false, err
	}
	if err := r.Chmod(temporary, 0o644); err != nil { // whatever the umask is
		return false, err
	}
	switch err := r.Link(temporary, name); {
	case errors.Is(err, fs.ErrExist):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, nil
}

// Differing returns the paths of the library, as in Paths, where something else
// is below root: an other version of it, or the system's own file. Paths with
// nothing there do not count.
func Differing(root string) ([]string, error) {
	r, err := os.OpenRoot(root)
	if err != nil {
		return nil, fmt.Errorf("compare shell library: %w", err)
	}
	defer r.Close()
	var out []string
	for _, p := range Paths() {
		ours, err := netifd.Files.ReadFile(p[1:])
		if err != nil {
			return nil, fmt.Errorf("compare shell library: %w", err)
		}
		theirs, err := r.ReadFile(p[1:])
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("compare shell library below %s: %w", root, err)
		case !bytes.Equal(ours, theirs):
			out = append(out, p)
		}
	}
	return out, nil
}
