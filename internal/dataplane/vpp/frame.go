package vpp

import (
	"encoding/binary"
	"fmt"
)

// A frame is 16 octets (8 unused, the length of the rest, 4 unused) and a
// message.
const (
	frameHeader = 16
	frameLength = 8 // where the length stands
	// maxFrame is the longest message that we take. The longest that VPP sends
	// us, its table of messages, has about 60,000 octets.
	maxFrame = 1 << 20
)

// wholeFrames counts the octets at the beginning of b that are whole frames.
// need is how long b has to be for one more.
func wholeFrames(b []byte) (n, need int, err error) {
	for len(b)-n >= frameHeader {
		size := binary.BigEndian.Uint32(b[n+frameLength:])
		if size > maxFrame {
			return n, 0, fmt.Errorf("VPP sends a frame of %d octets, the limit is %d: this is no API socket, or the stream is broken", size, maxFrame)
		}
		end := n + frameHeader + int(size)
		if end > len(b) {
			return n, end, nil
		}
		n = end
	}
	return n, n + frameHeader, nil
}

// nextFrame cuts the first message off whole frames.
func nextFrame(b []byte) (message, rest []byte) {
	end := frameHeader + int(binary.BigEndian.Uint32(b[frameLength:]))
	return b[frameHeader:end], b[end:]
}

var emptyHeader [frameHeader]byte

// beginFrame appends the header of a request: its number, our index, and the
// context, which VPP returns in the answer. endFrame puts its length in.
func beginFrame(b []byte, number uint16, client, context uint32) []byte {
	b = append(b, emptyHeader[:]...)
	b = binary.BigEndian.AppendUint16(b, number)
	b = binary.BigEndian.AppendUint32(b, client)
	return binary.BigEndian.AppendUint32(b, context)
}

func endFrame(b []byte, start int) {
	binary.BigEndian.PutUint32(b[start+frameLength:], uint32(len(b)-start-frameHeader))
}
