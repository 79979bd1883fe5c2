package uci

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Format says how to print. The zero value is what the uci command prints
// without options.
type Format struct {
	Delimiter string // between the values of a list (-d); empty is a space
	Joined    bool   // nothing between the values of a list (-d "")
	Named     bool   // export: name anonymous sections (-n)
	Plain     bool   // show: cfgXXhhhh for anonymous sections, not @type[i] (-X)
}

func (f Format) delimiter() string {
	if f.Delimiter == "" && !f.Joined {
		return " "
	}
	return f.Delimiter
}

// Export writes the package as "uci export" does, with its package line.
// Comments are not part of a Package and are lost; see [Document].
func Export(w io.Writer, p *Package, f Format) error {
	b := bufio.NewWriter(w)
	b.WriteString("package " + p.Name + "\n")
	writeSections(b, p, f)
	return b.Flush()
}

// Canonical is the text of the file that "uci commit" would write: Export
// without the package line. It reads back as the same package.
func (p *Package) Canonical() []byte {
	var s strings.Builder
	b := bufio.NewWriter(&s)
	writeSections(b, p, Format{})
	b.Flush()
	return []byte(s.String())
}

func writeSections(b *bufio.Writer, p *Package, f Format) {
	for _, s := range p.Sections {
		b.WriteString("\nconfig " + typeWord(s.Type))
		if !s.Anonymous || f.Named {
			b.WriteString(" " + quote(s.Name))
		}
		b.WriteByte('\n')
		for i := range s.Options {
			o := &s.Options[i]
			keyword := "\toption "
			if o.List {
				keyword = "\tlist "
			}
			for _, v := range o.Values {
				b.WriteString(keyword)
				b.WriteString(o.Name)
				b.WriteByte(' ')
				b.WriteString(quote(v))
				b.WriteByte('\n')
			}
		}
	}
	b.WriteByte('\n')
}

// quote puts a value between single quotes, the only form in which every byte
// is literal.
func quote(v string) string {
	if strings.IndexByte(v, '\'') < 0 {
		return "'" + v + "'"
	}
	return "'" + strings.ReplaceAll(v, "'", `'\''`) + "'"
}

// typeWord writes a section type bare, as uci does, unless it would then read
// back as something else (uci itself gets that wrong).
func typeWord(t string) string {
	if strings.ContainsAny(t, "'\"\\#;") {
		return quote(t)
	}
	return t
}

// WriteFile replaces the file at path in one step: a temporary file
// ".NAME.uci-…" in the same folder, synced, renamed over it, and the folder
// synced. Mode and (where allowed) owner are kept, a symbolic link stays one;
// a new file has mode 0600, as with the uci command. After an error the old
// file is untouched.
func WriteFile(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: "write", Object: path, Kind: ErrIO, Detail: err}
		}
	}()
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	mode := fs.FileMode(0o600)
	st, err := os.Stat(path)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return errNotRegular
	case err == nil:
		mode = st.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	dir, base := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".uci-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if st != nil {
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(sys.Uid), int(sys.Gid)) // only root may; the content matters more
		}
	}
	if err := f.Chmod(mode); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return err
	}
	return nil
}
