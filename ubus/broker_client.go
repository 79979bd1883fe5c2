package ubus

import (
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	errTooManyFiles       = unix.EMFILE
	errTooManyFilesSystem = unix.ENFILE
	errAborted            = unix.ECONNABORTED
)

// brokerClient is one connection. Fields below conn are guarded by Broker.mu.
type brokerClient struct {
	b    *Broker
	id   uint32
	cred credentials
	conn *net.UnixConn // nil: the broker's own process
	out  *outQueue

	objects   []*object // oldest first
	subs      int       // subscriptions held by its objects
	patterns  int       // event patterns held by its objects
	monSeq    uint16    // guarded by monMu
	unsubSeq  uint16
	overflown atomic.Bool
}

// send queues one message. fill appends the attributes, nil for none; send
// takes fd over. A client whose queue overflows is disconnected.
func (c *brokerClient) send(t MsgType, seq uint16, peer uint32, fd *os.File, fill func([]byte) []byte) {
	if c.out == nil {
		closeFile(fd)
		return
	}
	var ok bool
	if c.b.watched.Load() && t != MsgMonitor {
		m := buildMessage(nil, t, seq, peer, fill)
		c.b.monitor(c, t, seq, peer, m[HeaderLen:], true)
		ok = c.out.add(fd, func(b []byte) []byte { return append(b, m...) })
	} else {
		ok = c.out.add(fd, func(b []byte) []byte { return buildMessage(b, t, seq, peer, fill) })
	}
	if !ok && !c.overflown.Swap(true) {
		if c.out.overflowed() {
			c.b.log.Warn("ubus broker: client does not read, disconnected",
				"client", c.id, "user", c.cred.user, "pid", c.cred.pid, "limit", c.out.limit)
		}
		c.conn.Close()
	}
}

func buildMessage(b []byte, t MsgType, seq uint16, peer uint32, fill func([]byte) []byte) []byte {
	b, mark := openMessage(b, t, seq, peer)
	if fill != nil {
		b = fill(b)
	}
	return closeMessage(b, mark)
}

// status answers a request.
func (c *brokerClient) status(h Header, s Status) {
	c.send(MsgStatus, h.Seq, h.Peer, nil, func(b []byte) []byte {
		return AppendAttrUint32(b, AttrStatus, uint32(s))
	})
}

// pong sends a PING back, version and id of the top blob included.
func (c *brokerClient) pong(h Header, payload []byte) {
	c.send(MsgData, h.Seq, h.Peer, nil, func(b []byte) []byte {
		b[len(b)-HeaderLen], b[len(b)-4] = h.Version, h.top
		return append(b, payload...)
	})
}

// readLoop handles the client's messages until it goes.
func (c *brokerClient) readLoop() {
	r := newMsgReader(c.conn, MaxMessage)
	for {
		h, payload, fd, err := r.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				c.b.log.Debug("ubus broker: client disconnected", "client", c.id, "err", err)
			}
			break
		}
		c.handle(h, payload, fd)
	}
	r.close()
	c.out.close()
	c.conn.Close()
	c.b.remove(c)
}

// handle serves one message. It takes fd over.
func (c *brokerClient) handle(h Header, payload []byte, fd *os.File) {
	b := c.b
	if b.watched.Load() {
		b.monitor(c, h.Type, h.Seq, h.Peer, payload, false)
	}
	a := parseAttrs(payload)
	if fd != nil && h.Type != MsgInvoke && h.Type != MsgStatus {
		closeFile(fd)
		fd = nil
	}
	switch h.Type {
	case MsgPing:
		c.pong(h, payload)
		c.status(h, StatusOK)
		return
	case MsgLookup:
		c.status(h, c.lookup(h, &a))
		return
	case MsgInvoke:
		if run := b.invoke(c, h, &a, fd); run != nil {
			run()
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch h.Type {
	case MsgStatus, MsgData:
		b.answer(c, h, &a, payload, fd)
	case MsgAddObject:
		b.addObject(c, h, &a)
	case MsgRemoveObject:
		b.removeObject(c, h, &a)
	case MsgSubscribe:
		c.status(h, b.subscribe(c, &a))
	case MsgUnsubscribe:
		c.status(h, b.unsubscribe(c, &a))
	case MsgNotify:
		b.notify(c, h, &a)
	default:
		c.status(h, StatusInvalidCommand)
	}
}

// remove forgets a client that has gone.
func (b *Broker) remove(c *brokerClient) {
	b.setMonitor(c, false)
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.clients, c.id)
	for len(c.objects) > 0 {
		b.dropObject(c.objects[len(c.objects)-1])
	}
}

// monitor shows a message to the monitors.
func (b *Broker) monitor(c *brokerClient, t MsgType, seq uint16, peer uint32, payload []byte, sent bool) {
	b.monMu.Lock()
	defer b.monMu.Unlock()
	for _, m := range b.monitors {
		m.monSeq++
		m.send(MsgMonitor, m.monSeq, 0, nil, func(b []byte) []byte {
			b = AppendAttrUint32(b, monClient, c.id)
			b = AppendAttrUint32(b, monPeer, peer)
			b = AppendAttrUint32(b, monSeq, uint32(seq))
			b = AppendAttrUint32(b, monType, uint32(t))
			b = AppendAttrUint8(b, monSend, boolByte(sent))
			return AppendAttr(b, monData, payload)
		})
	}
}

func boolByte(v bool) uint8 {
	if v {
		return 1
	}
	return 0
}

func (b *Broker) setMonitor(c *brokerClient, on bool) {
	b.monMu.Lock()
	defer b.monMu.Unlock()
	i := slices.Index(b.monitors, c)
	switch {
	case on && i < 0:
		b.monitors = append(b.monitors, c)
	case !on && i >= 0:
		b.monitors = slices.Delete(b.monitors, i, i+1)
	}
	b.watched.Store(len(b.monitors) > 0)
}
