package main

import (
	"fmt"
	"io"
	"io/fs"
)

// cpioWriter writes the "newc" archive that the kernel unpacks as initramfs
// (Documentation/driver-api/early-userspace/buffer-format.rst). Every entry
// belongs to root, with time 0, so that equal input gives equal bytes.
type cpioWriter struct {
	w   io.Writer
	n   int64 // bytes written
	ino uint32
	err error // the first error; later calls do nothing
}

// Type bits of st_mode, from <linux/stat.h>.
const (
	modeDir  = 0o040000
	modeFile = 0o100000
	modeChar = 0o020000
)

// dir adds a directory. name is relative to the root ("a/b"); parents come first.
func (c *cpioWriter) dir(name string, perm fs.FileMode) {
	c.entry(name, modeDir|uint32(perm.Perm()), 0, 0, nil)
}

// file adds a regular file.
func (c *cpioWriter) file(name string, perm fs.FileMode, data []byte) {
	c.entry(name, modeFile|uint32(perm.Perm()), 0, 0, data)
}

// char adds a character device.
func (c *cpioWriter) char(name string, perm fs.FileMode, major, minor uint32) {
	c.entry(name, modeChar|uint32(perm.Perm()), major, minor, nil)
}

// close writes the end of the archive and gives the first error of all calls.
func (c *cpioWriter) close() error {
	c.ino = 0
	c.entry("TRAILER!!!", 0, 0, 0, nil)
	return c.err
}

func (c *cpioWriter) entry(name string, mode, major, minor uint32, data []byte) {
	if c.err == nil && int64(len(data)) > 1<<32-1 {
		c.err = fmt.Errorf("cpio: %s: %d bytes do not fit the format", name, len(data))
	}
	links := 1
	if mode&modeDir != 0 {
		links = 2
	}
	if mode != 0 {
		c.ino++
	}
	// magic ino mode uid gid nlink mtime filesize devmajor devminor
	// rdevmajor rdevminor namesize check
	c.write(fmt.Appendf(nil, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		c.ino, mode, 0, 0, links, 0, len(data), 0, 0, major, minor, len(name)+1, 0))
	c.write(append([]byte(name), 0))
	c.pad()
	c.write(data)
	c.pad()
}

// pad fills up to a multiple of 4.
func (c *cpioWriter) pad() {
	if r := c.n % 4; r != 0 {
		c.write(make([]byte, 4-r))
	}
}

func (c *cpioWriter) write(b []byte) {
	if c.err != nil || len(b) == 0 {
		return
	}
	n, err := c.w.Write(b)
	c.n += int64(n)
	if err != nil {
		c.err = fmt.Errorf("cpio: %w", err)
	}
}
