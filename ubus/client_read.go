package ubus

import (
	"context"
	"os"
	"slices"
)

// readLoop hands messages to whoever waits for them.
func (c *Client) readLoop(r *msgReader) {
	defer r.close()
	for {
		h, payload, fd, err := r.next()
		if err != nil {
			c.shutdown(err)
			return
		}
		if !c.dispatch(h, payload, fd) {
			c.shutdown(ErrOverflow)
			return
		}
	}
}

// dispatch takes fd over. It reports false when the handlers do not keep up.
func (c *Client) dispatch(h Header, payload []byte, fd *os.File) bool {
	if h.Version != 0 {
		closeFile(fd)
		return true
	}
	if h.Type == MsgMonitor {
		closeFile(fd)
		return c.gotMonitor(payload)
	}
	a := parseAttrs(payload)
	switch h.Type {
	case MsgStatus, MsgData:
		c.mu.Lock()
		p := c.pending[h.Seq]
		c.mu.Unlock()
		if p == nil {
			closeFile(fd)
		} else if p.handle(h, &a, fd) {
			c.forget(h.Seq, p)
		}
		return true
	case MsgInvoke:
		return c.gotInvoke(h, &a, fd)
	}
	closeFile(fd)
	c.mu.Lock()
	o := c.objects[a.objID]
	c.mu.Unlock()
	switch {
	case o == nil:
	case h.Type == MsgNotify && o.active != nil && a.ok(AttrActive):
		o.active(a.active)
	case h.Type == MsgUnsubscribe && o.lost != nil && a.ok(AttrTarget):
		target := a.target
		return c.inbox.add(64, func() { o.lost(target) })
	}
	return true
}

// gotInvoke serves a call, an event or a notification.
func (c *Client) gotInvoke(h Header, a *attrs, fd *os.File) bool {
	c.mu.Lock()
	o := c.objects[a.objID]
	c.mu.Unlock()
	to := &remoteCall{c: c, seq: h.Seq, peer: h.Peer, object: a.objID, quiet: a.noReply}
	method := string(a.method)
	s := StatusOK
	switch {
	case o == nil:
		s = StatusNotFound
	case o.event == nil && !slices.ContainsFunc(o.methods, func(m Method) bool { return m.Name == method }):
		s = StatusMethodNotFound
	case o.event == nil && !a.ok(AttrData):
		s = StatusInvalidArgument
	}
	if s != StatusOK {
		closeFile(fd)
		to.sendStatus(s, nil)
		return true
	}
	data := slices.Clone(a.data)
	size := len(data) + 256
	if o.event != nil {
		closeFile(fd)
		return c.inbox.add(size, func() {
			o.event(method, DecodeTable(data))
			to.sendStatus(StatusOK, nil)
		})
	}
	r := &Request{
		Object: o.path, Method: method, User: string(a.user), Group: string(a.group), Caller: h.Peer,
		data: data, to: to,
	}
	r.fd.Store(fd)
	if fd != nil {
		size += inboxFD
	}
	return c.inbox.add(size, func() { o.handler(r) })
}

// remoteCall answers a call that came over the bus.
type remoteCall struct {
	c      *Client
	seq    uint16
	peer   uint32
	object uint32
	quiet  bool
}

func (r *remoteCall) sendData(fill func([]byte) []byte) bool {
	return r.quiet || r.answer(MsgData, nil, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, r.object)
		b, mark := OpenAttr(b, AttrData)
		return CloseAttr(fill(b), mark)
	})
}

func (r *remoteCall) sendStatus(s Status, fd *os.File) {
	if r.quiet {
		closeFile(fd)
		return
	}
	r.answer(MsgStatus, fd, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrStatus, uint32(s))
		return AppendAttrUint32(b, AttrObjID, r.object)
	})
}

// answer queues an answer. One over the limit is dropped, as ubusd would drop
// the connection for it; then answer reports false.
func (r *remoteCall) answer(t MsgType, fd *os.File, fill func([]byte) []byte) (fits bool) {
	fits = true
	ok := r.c.out.add(fd, func(b []byte) []byte {
		before := len(b)
		b = buildMessage(b, t, r.seq, r.peer, fill)
		if len(b)-before-8 > MaxMessage {
			b, fits = b[:before], false
		}
		return b
	})
	if !ok {
		r.c.shutdown(ErrOverflow)
	}
	return fits
}

// MonitorMessage is one message that the broker got or sent.
type MonitorMessage struct {
	Client uint32 // whose connection
	Peer   uint32 // of the message's header
	Seq    uint16
	Type   MsgType
	Sent   bool   // by the broker
	Data   []byte // payload of the top blob
}

// Monitor calls f for every message that the broker gets or sends, until
// MonitorStop. Only root may.
func (c *Client) Monitor(ctx context.Context, f func(MonitorMessage)) error {
	c.mu.Lock()
	c.onMonitor = f
	c.mu.Unlock()
	return c.monitor(ctx, "add")
}

// MonitorStop ends Monitor. Messages on their way still arrive.
func (c *Client) MonitorStop(ctx context.Context) error {
	return c.monitor(ctx, "remove")
}

// monitor calls a method of the monitor. Nobody reads the arguments; they are
// what libubus sends, the call itself once more.
func (c *Client) monitor(ctx context.Context, method string) error {
	args := AppendAttrString(AppendAttrUint32(nil, AttrObjID, monitorObject), AttrMethod, method)
	_, _, err := c.Invoke(ctx, monitorObject, method, args, nil)
	return err
}

func (c *Client) gotMonitor(payload []byte) bool {
	c.mu.Lock()
	f := c.onMonitor
	c.mu.Unlock()
	if f == nil {
		return true
	}
	m, ok := parseMonitor(payload)
	if !ok {
		return true
	}
	m.Data = slices.Clone(m.Data)
	return c.inbox.add(len(payload)+128, func() { f(m) })
}

func parseMonitor(b []byte) (m MonitorMessage, ok bool) {
	var have uint
	for {
		a, rest, more := NextAttr(b)
		if !more {
			return m, have == 1<<6-1
		}
		b = rest
		good := true
		switch v, is32 := a.Uint32(); a.ID {
		case monClient:
			m.Client, good = v, is32
		case monPeer:
			m.Peer, good = v, is32
		case monSeq:
			m.Seq, good = uint16(v), is32
		case monType:
			m.Type, good = MsgType(v), is32
		case monSend:
			var s uint8
			s, good = a.Uint8()
			m.Sent = s != 0
		case monData:
			m.Data = a.Data
		default:
			good = false
		}
		if good {
			have |= 1 << a.ID
		}
	}
}
