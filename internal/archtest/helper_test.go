package archtest

import (
	"io/fs"
	"testing/fstest"
)

// module makes a file system of a module m.
func module(files map[string]string) fs.FS {
	m := fstest.MapFS{"go.mod": {Data: []byte("module m\n")}}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}
