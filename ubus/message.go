package ubus

import (
	"encoding/binary"
	"fmt"
	"strconv"
)

// MsgType is the type of a ubus message.
type MsgType uint8

// The message types (ubusmsg.h, enum ubus_msg_type).
const (
	MsgHello        MsgType = 0
	MsgStatus       MsgType = 1
	MsgData         MsgType = 2
	MsgPing         MsgType = 3
	MsgLookup       MsgType = 4
	MsgInvoke       MsgType = 5
	MsgAddObject    MsgType = 6
	MsgRemoveObject MsgType = 7
	MsgSubscribe    MsgType = 8
	MsgUnsubscribe  MsgType = 9
	MsgNotify       MsgType = 10
	MsgMonitor      MsgType = 11
)

var msgTypeNames = [...]string{
	"hello", "status", "data", "ping", "lookup", "invoke", "add_object", "remove_object",
	"subscribe", "unsubscribe", "notify", "monitor",
}

// String returns the name that `ubus monitor` uses.
func (t MsgType) String() string {
	if int(t) < len(msgTypeNames) {
		return msgTypeNames[t]
	}
	return strconv.Itoa(int(t))
}

// Ids of the attributes of a message (ubusmsg.h, enum ubus_msg_attr).
const (
	AttrStatus      = 1  // INT32
	AttrObjPath     = 2  // STRING
	AttrObjID       = 3  // INT32
	AttrMethod      = 4  // STRING
	AttrObjType     = 5  // INT32
	AttrSignature   = 6  // NESTED blobmsg
	AttrData        = 7  // NESTED blobmsg
	AttrTarget      = 8  // INT32
	AttrActive      = 9  // INT8
	AttrNoReply     = 10 // INT8
	AttrSubscribers = 11 // NESTED attributes of id 0, INT32
	AttrUser        = 12 // STRING
	AttrGroup       = 13 // STRING
)

// Ids of the attributes of a MONITOR message (enum ubus_monitor_attr).
const (
	monClient = 0
	monPeer   = 1
	monSend   = 2
	monSeq    = 3
	monType   = 4
	monData   = 5
)

// Sizes of the transport, in bytes.
const (
	// HeaderLen is the length of the message header and the header of the top
	// blob, which is what a reader takes first.
	HeaderLen = 12
	// MaxMessage is the largest length of a top blob, its own 4 byte header
	// included. A peer that announces more is disconnected.
	MaxMessage = 1 << 20
	// maxForwarded is the largest top blob that a broker sends: it adds USER
	// and GROUP to a call, and a head to what it shows a monitor.
	maxForwarded = MaxMessage + 4096
	// messageHead is more than a message of ours holds beside name and data.
	messageHead = 128
)

// Object ids below firstID belong to the broker.
const (
	eventObject   = 1
	aclObject     = 2
	monitorObject = 3
	firstID       = 1024
)

// Header is the fixed part of a message.
type Header struct {
	Version uint8 // 0
	Type    MsgType
	Seq     uint16 // chosen by whoever asks, copied into every answer
	Peer    uint32 // client or object id, by message type
	Size    int    // length of the top blob without its own 4 bytes
	top     uint8  // extended bit and id of the top blob: means nothing, a PING gets it back
}

// ParseHeader reads the first HeaderLen bytes of a message. It fails when the
// top blob's length is below 4 or, padded, above MaxMessage; the connection is
// then of no further use.
func ParseHeader(b []byte) (Header, error) { return parseHeader(b, MaxMessage) }

// parseHeader is ParseHeader with another limit than MaxMessage.
func parseHeader(b []byte, limit int) (Header, error) {
	if len(b) < HeaderLen {
		return Header{}, fmt.Errorf("ubus: message header of %d bytes", len(b))
	}
	n := int(binary.BigEndian.Uint32(b[8:]) & attrLenMask)
	h := Header{
		Version: b[0],
		Type:    MsgType(b[1]),
		Seq:     binary.BigEndian.Uint16(b[2:]),
		Peer:    binary.BigEndian.Uint32(b[4:]),
		Size:    n - attrHeaderLen,
		top:     b[8],
	}
	if n < attrHeaderLen || pad4(n) > limit {
		return h, fmt.Errorf("ubus: %v message with a blob length of %d bytes", h.Type, n)
	}
	return h, nil
}

// openMessage begins a message; closeMessage ends it.
func openMessage(b []byte, t MsgType, seq uint16, peer uint32) (_ []byte, mark int) {
	mark = len(b)
	b = append(b, 0, byte(t), byte(seq>>8), byte(seq))
	b = binary.BigEndian.AppendUint32(b, peer)
	return binary.BigEndian.AppendUint32(b, 0), mark
}

func closeMessage(b []byte, mark int) []byte {
	top := b[mark+8]
	binary.BigEndian.PutUint32(b[mark+8:], uint32(len(b)-mark-8))
	b[mark+8] |= top
	return b
}

// Message is a decoded message: what a recorder or monitor needs. The broker
// and client use the faster internal form.
type Message struct {
	Header
	Attrs []Attr // in the order on the wire
}

// ParseMessage decodes one whole message. Attributes after a malformed one are
// left out; strict says whether nothing was left out.
func ParseMessage(b []byte) (m Message, strict bool, err error) {
	m.Header, err = ParseHeader(b)
	if err != nil {
		return m, false, err
	}
	if len(b) != HeaderLen+m.Size {
		return m, false, fmt.Errorf("ubus: %v message of %d bytes, header says %d", m.Type, len(b), HeaderLen+m.Size)
	}
	for b = b[HeaderLen:]; len(b) > 0; {
		a, rest, ok := NextAttr(b)
		if !ok {
			return m, false, nil
		}
		m.Attrs = append(m.Attrs, a)
		b = rest
	}
	return m, true, nil
}

// Append appends the message as it goes over the wire.
func (m *Message) Append(b []byte) []byte {
	b, mark := openMessage(b, m.Type, m.Seq, m.Peer)
	b[mark] = m.Version
	for _, a := range m.Attrs {
		b = appendMalformed(b, a)
	}
	return closeMessage(b, mark)
}

// attrs is the content of a message by attribute. Attributes of a wrong size
// are absent; of two good ones with the same id the last counts.
type attrs struct {
	has         uint16 // bit per attribute id
	status      uint32
	objID       uint32
	objType     uint32
	target      uint32
	active      bool
	noReply     bool
	objPath     []byte
	method      []byte
	signature   []byte
	data        []byte
	subscribers []byte
	user        []byte
	group       []byte
}

func (a *attrs) ok(ids ...uint8) bool {
	for _, id := range ids {
		if a.has&(1<<id) == 0 {
			return false
		}
	}
	return true
}

// parseAttrs reads the payload of a message's top blob. The slices share its
// memory.
func parseAttrs(b []byte) (m attrs) {
	for {
		a, rest, ok := NextAttr(b)
		if !ok {
			return m
		}
		b = rest
		if a.ID > AttrGroup || a.ID == 0 {
			continue
		}
		if m.set(a) {
			m.has |= 1 << a.ID
		}
	}
}

func (m *attrs) set(a Attr) (ok bool) {
	switch a.ID {
	case AttrStatus:
		ok = setUint32(&m.status, a)
	case AttrObjID:
		ok = setUint32(&m.objID, a)
	case AttrObjType:
		ok = setUint32(&m.objType, a)
	case AttrTarget:
		ok = setUint32(&m.target, a)
	case AttrActive:
		ok = setBool(&m.active, a)
	case AttrNoReply:
		ok = setBool(&m.noReply, a)
	case AttrObjPath:
		ok = setString(&m.objPath, a)
	case AttrMethod:
		ok = setString(&m.method, a)
	case AttrUser:
		ok = setString(&m.user, a)
	case AttrGroup:
		ok = setString(&m.group, a)
	case AttrSignature:
		m.signature, ok = a.Data, true
	case AttrData:
		m.data, ok = a.Data, true
	case AttrSubscribers:
		m.subscribers, ok = a.Data, true
	}
	return ok
}

func setUint32(p *uint32, a Attr) bool {
	v, ok := a.Uint32()
	if ok {
		*p = v
	}
	return ok
}

func setBool(p *bool, a Attr) bool {
	v, ok := a.Uint8()
	if ok {
		*p = v != 0
	}
	return ok
}

func setString(p *[]byte, a Attr) bool {
	v, ok := cstring(a.Data)
	if ok {
		*p = v
	}
	return ok
}
