package ubus

import (
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// outQueue holds what is to be written to one connection. Adding never blocks;
// run writes until the queue is closed.
type outQueue struct {
	limit int // bytes, for a reader that does not read

	mu     sync.Mutex
	wake   sync.Cond // work for run, or room for waitBelow
	bytes  int       // queued and being written
	moved  time.Time // when the reader last took something, or the queue was empty
	fds    int       // descriptors queued and being written
	chunks []outChunk
	spare  []byte // a buffer that has been written, for reuse
	closed bool
	full   bool // closed for being over the limit
}

// One who reads may have more queued for him than one who does not: patience is
// how long it takes to tell, readerFactor how many times the limit he gets.
const (
	patience     = time.Second
	readerFactor = 4
)

// outChunk is written by one sendmsg if it carries a descriptor: then it is
// exactly one message.
type outChunk struct {
	b  []byte
	fd *os.File // owned; closed after writing
}

// queueFDs bounds the descriptors that wait for one reader. They are a
// resource of the whole process.
const queueFDs = 64

func newOutQueue(limit int) *outQueue {
	q := &outQueue{limit: limit}
	q.wake.L = &q.mu
	return q
}

// add lets fill append one message. It reports false when the queue is over
// its limit (a queue that was empty takes a message of any size, and a reader
// who reads gets readerFactor times the limit), holds queueFDs descriptors
// already, or is closed; it is of no further use then. fd may be nil; add takes it over.
func (q *outQueue) add(fd *os.File, fill func([]byte) []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		closeFile(fd)
		return false
	}
	var b []byte
	last := len(q.chunks) - 1
	if fd == nil && last >= 0 && q.chunks[last].fd == nil && len(q.chunks[last].b) < writePiece/2 {
		b = q.chunks[last].b
	} else {
		b, q.spare = q.spare[:0], nil
		q.chunks = append(q.chunks, outChunk{fd: fd})
		last++
	}
	before := len(b)
	b = fill(b)
	q.chunks[last].b = b
	was := q.bytes
	q.bytes += len(b) - before
	if fd != nil {
		q.fds++
	}
	if was == 0 {
		q.moved = time.Now()
	}
	if was > 0 && q.overLimit() || q.fds > queueFDs {
		q.full = true
		q.closeLocked()
		return false
	}
	if was == 0 {
		q.wake.Broadcast()
	}
	return true
}

func (q *outQueue) overLimit() bool {
	return q.bytes > q.limit && (q.bytes > readerFactor*q.limit || time.Since(q.moved) > patience)
}

// waitBelow blocks until fewer than n bytes are queued; false when closed.
func (q *outQueue) waitBelow(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.bytes >= n && !q.closed {
		q.wake.Wait()
	}
	return !q.closed
}

// overflowed says whether add closed the queue.
func (q *outQueue) overflowed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.full
}

// close drops what is queued and ends run.
func (q *outQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closeLocked()
}

func (q *outQueue) closeLocked() {
	q.closed = true
	for _, c := range q.chunks {
		closeFile(c.fd)
	}
	q.chunks = nil
	q.wake.Broadcast()
}

// run writes to conn until the queue is closed or a write fails.
func (q *outQueue) run(conn *net.UnixConn) error {
	var work []outChunk
	for {
		q.mu.Lock()
		for len(q.chunks) == 0 && !q.closed {
			q.wake.Wait()
		}
		if q.closed {
			q.mu.Unlock()
			return nil
		}
		work, q.chunks = q.chunks, work[:0]
		q.mu.Unlock()
		for i := range work {
			c := work[i]
			err := q.write(conn, c)
			q.wrote(c, err == nil)
			work[i] = outChunk{}
			if err != nil {
				q.close()
				for _, c := range work[i+1:] {
					closeFile(c.fd)
				}
				return err
			}
		}
	}
}

// wrote accounts for a chunk that is on its way and keeps its buffer.
func (q *outQueue) wrote(c outChunk, ok bool) {
	closeFile(c.fd)
	q.mu.Lock()
	defer q.mu.Unlock()
	if ok {
		q.bytes -= len(c.b)
		q.moved = time.Now()
		if c.fd != nil {
			q.fds--
		}
	}
	if q.spare == nil && cap(c.b) <= 256<<10 {
		q.spare = c.b[:0]
	}
	q.wake.Broadcast()
}

// write writes a chunk in pieces, so that it shows when the reader reads.
func (q *outQueue) write(conn *net.UnixConn, c outChunk) error {
	for len(c.b) > writePiece {
		if err := writeChunk(conn, outChunk{c.b[:writePiece], c.fd}); err != nil {
			return err
		}
		c = outChunk{b: c.b[writePiece:]}
		q.mu.Lock()
		q.moved = time.Now()
		q.mu.Unlock()
	}
	return writeChunk(conn, c)
}

const writePiece = 256 << 10

func writeChunk(conn *net.UnixConn, c outChunk) error {
	b := c.b
	if c.fd != nil && len(b) > 0 {
		rights := unix.UnixRights(int(c.fd.Fd()))
		n, _, err := conn.WriteMsgUnix(b, rights, nil)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	for len(b) > 0 {
		n, err := conn.Write(b)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}
