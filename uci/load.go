package uci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// Load reads the package name from dir, usually /etc/config. A name that
// begins with "/" or "./" is a path of its own, and the package has the name
// of the file. The error is a *ParseError, or an *Error of kind ErrNotFound
// (also for what is no regular file), ErrInvalid (a name that no package can
// have), ErrIO or ErrTooLarge.
func Load(dir, name string, opts Options) (*Package, error) {
	path, name, err := locate(dir, name)
	if err != nil {
		return nil, err
	}
	data, err := readFile(path, opts.maxSize())
	if err != nil {
		return nil, err
	}
	if opts.File == "" {
		opts.File = path
	}
	return Parse(name, data, opts)
}

// LoadDocument is [Load] for editing; it is always strict.
func LoadDocument(dir, name string, opts Options) (*Document, error) {
	path, name, err := locate(dir, name)
	if err != nil {
		return nil, err
	}
	data, err := readFile(path, opts.maxSize())
	if err != nil {
		return nil, err
	}
	opts.File = path
	return ParseDocument(name, data, opts)
}

// List names the packages in dir, sorted: the files whose name has no "." and
// is printable ASCII. A missing dir, or one without any file, is ErrNotFound.
func List(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, &Error{Op: "list", Object: dir, Kind: ErrNotFound, Detail: err}
	}
	var out []string
	visible := false
	for _, e := range entries {
		name := e.Name()
		visible = visible || name[0] != '.'
		if strings.Contains(name, ".") || !validType(name) {
			continue
		}
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.IsDir() {
			continue
		}
		out = append(out, name)
	}
	if !visible {
		return nil, fail("list", dir, ErrNotFound)
	}
	sort.Strings(out)
	return out, nil
}

func locate(dir, name string) (path, pkg string, err error) {
	switch {
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, "./"):
		path, pkg = name, filepath.Base(name)
	case strings.HasPrefix(name, "."):
		return "", "", fail("load", name, ErrNotFound)
	default:
		path, pkg = filepath.Join(dir, name), name
	}
	if !validType(pkg) || strings.Contains(pkg, "/") {
		return "", "", fail("load", name, ErrInvalid)
	}
	return path, pkg, nil
}

// readFile reads a regular file of at most limit bytes (negative: any size).
func readFile(path string, limit int64) ([]byte, error) {
	ioError := func(err error) error {
		kind := ErrIO
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotRegular) {
			kind = ErrNotFound
		}
		return &Error{Op: "load", Object: path, Kind: kind, Detail: err}
	}
	// Before opening: a FIFO would block.
	st, err := os.Stat(path)
	if err != nil {
		return nil, ioError(err)
	}
	if !st.Mode().IsRegular() {
		return nil, ioError(errNotRegular)
	}
	if limit >= 0 && st.Size() > limit {
		return nil, tooLarge("load", path, st.Size(), limit)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, ioError(err)
	}
	defer f.Close()
	var r io.Reader = f
	if limit >= 0 {
		r = io.LimitReader(f, limit+1) // it may grow while we read
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, ioError(err)
	}
	if limit >= 0 && int64(len(data)) > limit {
		return nil, tooLarge("load", path, int64(len(data)), limit)
	}
	return data, nil
}

var errNotRegular = errors.New("not a regular file")

func tooLarge(op, object string, size, limit int64) error {
	return &Error{Op: op, Object: object, Kind: ErrTooLarge,
		Detail: fmt.Errorf("%d bytes, limit %d", size, limit)}
}
