package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// frameType says what the payload of a frame is.
type frameType byte

// The frames that guest and host exchange over the virtio-serial port.
const (
	frameReady  frameType = 'r' // guest: the program is about to start; payload is the kernel release
	frameStdout frameType = 'o' // guest: bytes that the program wrote to its standard output
	frameStderr frameType = 'e' // guest: bytes that the program wrote to its standard error
	frameFile   frameType = 'f' // guest: one byte index into job.Collect, then the next part of that file
	frameExit   frameType = 'x' // guest: the program has ended; payload is an exitStatus; nothing follows
	frameFailed frameType = '!' // guest: init could not do its work; payload is the reason; nothing follows
	frameSignal frameType = 's' // host: send the signal whose number is the payload (one byte) to the program
)

// maxPayload bounds a frame's payload in bytes; a longer one is a protocol error.
const maxPayload = 64 << 10

const frameHeaderLen = 5 // type, then the payload's length as a big-endian uint32

// errProtocol marks a byte stream that is not a sequence of frames.
var errProtocol = errors.New("malformed frame")

// appendFrame appends one frame to b. It panics on a payload over maxPayload:
// the callers split their data.
func appendFrame(b []byte, t frameType, payload []byte) []byte {
	if len(payload) > maxPayload {
		panic(fmt.Sprintf("vm: frame of %d bytes", len(payload)))
	}
	b = append(b, byte(t))
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// readFrame reads the next frame. The payload uses buf when it is large enough.
// The error is io.EOF between frames and io.ErrUnexpectedEOF inside one.
func readFrame(r io.Reader, buf []byte) (frameType, []byte, error) {
	var h [frameHeaderLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > maxPayload {
		return 0, nil, fmt.Errorf("%w: type %q with %d bytes", errProtocol, h[0], n)
	}
	if uint32(cap(buf)) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return frameType(h[0]), buf, nil
}

// frameWriter writes frames from several goroutines.
type frameWriter struct {
	mu  sync.Mutex
	w   io.Writer
	buf []byte
}

// send writes one frame in one Write.
func (w *frameWriter) send(t frameType, payload []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf = appendFrame(w.buf[:0], t, payload)
	_, err := w.w.Write(w.buf)
	return err
}

// exitStatus is how the program ended: with Code (0-255), or killed by Signal
// (1-64) when that is not 0.
type exitStatus struct {
	Code   int
	Signal int
}

// shell is the status as a shell gives it: the code, or 128 plus the signal.
func (s exitStatus) shell() int {
	if s.Signal != 0 {
		return 128 + s.Signal
	}
	return s.Code
}

// encode is the payload of frameExit: code and signal, one byte each.
func (s exitStatus) encode() []byte { return []byte{byte(s.Code), byte(s.Signal)} }

// parseExit is the inverse of encode.
func parseExit(b []byte) (exitStatus, error) {
	if len(b) != 2 || b[1] > 64 || b[0] != 0 && b[1] != 0 {
		return exitStatus{}, fmt.Errorf("%w: exit status %x", errProtocol, b)
	}
	return exitStatus{Code: int(b[0]), Signal: int(b[1])}, nil
}

// sink takes what the guest sends.
type sink struct {
	stdout, stderr io.Writer
	ready          func(release string)           // the program starts now
	file           func(i int, part []byte) error // next part of the i-th collected file
	files          int                            // how many files may come
}

// errLost says that the guest went away without an exit status.
var errLost = errors.New("the guest went away without an exit status")

// guestError is what init in the guest could not do.
type guestError string

// Error implements error.
func (e guestError) Error() string { return "guest: " + string(e) }

// consume reads the guest's frames until the exit status. The error is errLost
// when the stream ends before, a guestError when init failed, errProtocol for
// bytes that are no frame, or that of a writer.
func consume(r io.Reader, s sink) (exitStatus, error) {
	buf := make([]byte, maxPayload)
	for {
		t, p, err := readFrame(r, buf)
		switch {
		case err == io.EOF:
			return exitStatus{}, errLost
		case errors.Is(err, errProtocol):
			return exitStatus{}, err
		case err != nil:
			return exitStatus{}, fmt.Errorf("%w (%w)", errLost, err)
		}
		switch t {
		case frameReady:
			s.ready(string(p))
		case frameStdout:
			_, err = s.stdout.Write(p)
		case frameStderr:
			_, err = s.stderr.Write(p)
		case frameFile:
			if len(p) == 0 || int(p[0]) >= s.files {
				return exitStatus{}, fmt.Errorf("%w: file part %.8x of %d files", errProtocol, p, s.files)
			}
			err = s.file(int(p[0]), p[1:])
		case frameExit:
			return parseExit(p)
		case frameFailed:
			return exitStatus{}, guestError(p)
		default:
			return exitStatus{}, fmt.Errorf("%w: unknown type %q", errProtocol, byte(t))
		}
		if err != nil {
			return exitStatus{}, err
		}
	}
}
