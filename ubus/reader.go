package ubus

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// msgReader cuts the byte stream of a connection into messages.
//
// A descriptor travels with the first byte of a message. The kernel ends a
// read after the data that came with a descriptor, so it belongs to the
// message that began last in what one read returned.
type msgReader struct {
	conn  *net.UnixConn
	limit int    // of the length of a top blob
	buf   []byte // buf[r:w] is unread
	r, w  int
	oob   []byte
	fd    *os.File // came with the last read
	fdAt  int      // end of that read in buf
}

const readBuffer = 32 << 10

func newMsgReader(conn *net.UnixConn, limit int) *msgReader {
	return &msgReader{conn: conn, limit: limit, buf: make([]byte, readBuffer), oob: make([]byte, unix.CmsgSpace(4*8))}
}

// next returns the next message. The payload is valid until the next call; the
// caller owns fd, which may be nil. Errors are those of the connection, io.EOF,
// or of ParseHeader.
func (m *msgReader) next() (h Header, payload []byte, fd *os.File, err error) {
	if err = m.fill(HeaderLen); err != nil {
		return h, nil, nil, err
	}
	h, err = parseHeader(m.buf[m.r:m.w], m.limit)
	if err != nil {
		return h, nil, nil, err
	}
	n := HeaderLen + h.Size
	if err = m.fill(n); err != nil {
		return h, nil, nil, err
	}
	payload = m.buf[m.r+HeaderLen : m.r+n : m.r+n]
	m.r += n
	return h, payload, m.takeFD(), nil
}

// takeFD gives out the descriptor with the message that ends at m.r if no
// further message begins in the read that it came with.
func (m *msgReader) takeFD() *os.File {
	if m.fd == nil || m.r < m.fdAt {
		return nil
	}
	fd := m.fd
	m.fd = nil
	return fd
}

// fill reads until n bytes are unread.
func (m *msgReader) fill(n int) error {
	if m.w-m.r >= n {
		return nil
	}
	m.makeRoom(n)
	for m.w-m.r < n {
		k, oobn, _, _, err := m.conn.ReadMsgUnix(m.buf[m.w:], m.oob)
		if k > 0 {
			m.w += k
		}
		if oobn > 0 {
			m.takeRights(m.oob[:oobn])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *msgReader) makeRoom(n int) {
	rest := m.buf[m.r:m.w]
	m.fdAt -= m.r
	switch {
	case n > len(m.buf):
		grown := make([]byte, n+readBuffer)
		m.w = copy(grown, rest)
		m.buf = grown
	case len(m.buf) > readBuffer && n <= readBuffer && len(rest) <= readBuffer/2:
		small := make([]byte, readBuffer)
		m.w = copy(small, rest)
		m.buf = small
	default:
		m.w = copy(m.buf, rest)
	}
	m.r = 0
}

// takeRights keeps the first descriptor and closes all others.
func (m *msgReader) takeRights(oob []byte) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for j, fd := range fds {
			f := os.NewFile(uintptr(fd), "ubus")
			if i > 0 || j > 0 {
				f.Close()
				continue
			}
			closeFile(m.fd)
			m.fd, m.fdAt = f, m.w
		}
	}
}

// close drops a descriptor that no message took.
func (m *msgReader) close() {
	closeFile(m.fd)
	m.fd = nil
}
