package main

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// record is a sink that keeps everything.
type record struct {
	out, err bytes.Buffer
	ready    []string
	files    map[int]string
}

func (r *record) sink(files int) sink {
	r.files = map[int]string{}
	return sink{
		stdout: &r.out, stderr: &r.err, files: files,
		ready: func(s string) { r.ready = append(r.ready, s) },
		file:  func(i int, b []byte) error { r.files[i] += string(b); return nil },
	}
}

func TestConsume(t *testing.T) {
	big := bytes.Repeat([]byte("x"), maxPayload)
	var b []byte
	b = appendFrame(b, frameReady, []byte("6.12.117"))
	b = appendFrame(b, frameStdout, []byte("PASS\x00!x"))
	b = appendFrame(b, frameStderr, []byte("warning\n"))
	b = appendFrame(b, frameStdout, big)
	b = appendFrame(b, frameStdout, nil)
	b = appendFrame(b, frameFile, []byte("\x01mode: "))
	b = appendFrame(b, frameFile, []byte("\x01set\n"))
	b = appendFrame(b, frameFile, []byte("\x00"))
	body := b
	b = appendFrame(b, frameExit, exitStatus{Code: 3}.encode())
	b = appendFrame(b, frameStdout, []byte("after the end"))

	var r record
	st, err := consume(iotest.OneByteReader(bytes.NewReader(b)), r.sink(2))
	if err != nil || st != (exitStatus{Code: 3}) {
		t.Fatalf("consume: %+v, %v", st, err)
	}
	if got, want := r.out.String(), "PASS\x00!x"+string(big); got != want {
		t.Errorf("stdout: %d bytes %.20q, want %d", len(got), got, len(want))
	}
	if r.err.String() != "warning\n" || len(r.ready) != 1 || r.ready[0] != "6.12.117" {
		t.Errorf("stderr %q, ready %q", &r.err, r.ready)
	}
	if part, ok := r.files[0]; !ok || part != "" || r.files[1] != "mode: set\n" {
		t.Errorf("files %v", r.files)
	}
	// Every cut before the exit status is a lost status, never a code.
	for n := 0; n < len(body)+frameHeaderLen+2; n += 1 + n/50 {
		if _, err := consume(bytes.NewReader(b[:n]), new(record).sink(2)); !errors.Is(err, errLost) {
			t.Fatalf("cut after %d bytes: error %v, want errLost", n, err)
		}
	}
}

func TestConsumeErrors(t *testing.T) {
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"unknown type":   {appendFrame(nil, 'Z', nil), errProtocol},
		"too long":       {[]byte{'o', 0, 1, 0, 1}, errProtocol},
		"no file index":  {appendFrame(nil, frameFile, nil), errProtocol},
		"file not asked": {appendFrame(nil, frameFile, []byte{1}), errProtocol},
		"short status":   {appendFrame(nil, frameExit, []byte{0}), errProtocol},
		"code and sig":   {appendFrame(nil, frameExit, []byte{1, 9}), errProtocol},
		"no such signal": {appendFrame(nil, frameExit, []byte{0, 65}), errProtocol},
		"init failed":    {appendFrame(nil, frameFailed, []byte("no share")), guestError("no share")},
		"reader":         {nil, errLost},
	} {
		if st, err := consume(bytes.NewReader(c.in), new(record).sink(1)); !errors.Is(err, c.want) {
			t.Errorf("%s: %+v, %v, want %v", name, st, err, c.want)
		}
	}
	s := new(record).sink(0)
	s.stdout = failWriter{}
	if _, err := consume(bytes.NewReader(appendFrame(nil, frameStdout, []byte("x"))), s); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("failing writer: %v", err)
	}
}

type failWriter struct{}

func (failWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestExitStatus(t *testing.T) {
	for st, want := range map[exitStatus]int{{}: 0, {Code: 255}: 255, {Signal: 9}: 137, {Signal: 64}: 192} {
		got, err := parseExit(st.encode())
		if err != nil || got != st || got.shell() != want {
			t.Errorf("%+v: %+v, %v, shell %d", st, got, err, got.shell())
		}
	}
}

// FuzzConsume holds that no byte stream makes the parser panic, give a status
// that no program can have, or write more than it read; and that what it accepts
// is a sequence of frames with the status at its end.
func FuzzConsume(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendFrame(nil, frameExit, []byte{0, 0}))
	f.Add(appendFrame(appendFrame(nil, frameStdout, []byte("ok\n")), frameExit, []byte{0, 11}))
	f.Add(appendFrame(appendFrame(nil, frameFile, []byte("\x00abc")), frameFailed, []byte("no")))
	f.Add([]byte("o\xff\xff\xff\xffx\x00\x00\x00\x02\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r record
		src := bytes.NewReader(b)
		st, err := consume(src, r.sink(2))
		if n := r.out.Len() + r.err.Len() + len(r.files[0]) + len(r.files[1]); n > len(b) {
			t.Fatalf("%d bytes from %d", n, len(b))
		}
		if err != nil {
			if st != (exitStatus{}) {
				t.Fatalf("status %+v with error %v", st, err)
			}
			return
		}
		if c := st.shell(); c < 0 || c > 255 {
			t.Fatalf("status %d", c)
		}
		read := b[:len(b)-src.Len()]
		if end := appendFrame(nil, frameExit, st.encode()); !bytes.HasSuffix(read, end) {
			t.Fatalf("status %+v, but the input ends in %x", st, read[max(0, len(read)-8):])
		}
	})
}
