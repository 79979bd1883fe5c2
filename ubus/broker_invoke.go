package ubus

import (
	"os"
	"slices"
)

// invoke serves INVOKE. When the call goes to an object of this process it
// returns what runs the handler, to be called without Broker.mu.
func (b *Broker) invoke(c *brokerClient, h Header, a *attrs, fd *os.File) (run func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.ok(AttrObjID) {
		closeFile(fd)
		c.status(h, StatusInvalidArgument)
		return nil
	}
	if a.objID <= monitorObject && a.objID != 0 {
		closeFile(fd)
		c.status(h, b.system(c, h, a))
		return nil
	}
	o := b.objects[a.objID]
	s := StatusOK
	switch {
	case o == nil:
		s = StatusNotFound
	case !a.ok(AttrMethod):
		s = StatusInvalidArgument
	case o.hasPath && !b.acl.allows(&c.cred, aclAccess, o.path, string(a.method)):
		s = StatusPermissionDenied
	}
	if s != StatusOK {
		closeFile(fd)
		c.status(h, s)
		return nil
	}
	if o.owner == b.local {
		return b.invokeLocal(c, h, a, o, fd)
	}
	o.owner.send(MsgInvoke, h.Seq, c.id, fd, func(buf []byte) []byte {
		buf = AppendAttrUint32(buf, AttrObjID, o.id)
		return appendCall(buf, a.method, &c.cred, a.data, a.ok(AttrData))
	})
	return nil
}

// appendCall appends what INVOKE carries after the object.
func appendCall(buf, method []byte, cred *credentials, data []byte, hasData bool) []byte {
	buf = appendAttrBytes(buf, AttrMethod, method)
	buf = AppendAttrString(buf, AttrUser, cred.user)
	buf = AppendAttrString(buf, AttrGroup, cred.group)
	if hasData {
		buf = AppendAttr(buf, AttrData, data)
	}
	return buf
}

// appendAttrBytes is AppendAttrString for bytes.
func appendAttrBytes(b []byte, id uint8, s []byte) []byte {
	b = appendAttrHeader(b, id, len(s)+1)
	b = append(b, s...)
	return appendZeros(b, 1+pad4(len(s)+1)-(len(s)+1))
}

// invokeLocal prepares a call of an object of this process.
func (b *Broker) invokeLocal(c *brokerClient, h Header, a *attrs, o *object, fd *os.File) func() {
	to := &localCall{caller: c, seq: h.Seq, object: o.id}
	switch {
	case !o.typ.has(string(a.method)):
		closeFile(fd)
		to.sendStatus(StatusMethodNotFound, nil)
		return nil
	case !a.ok(AttrData):
		closeFile(fd)
		to.sendStatus(StatusInvalidArgument, nil)
		return nil
	}
	r := &Request{
		Object: o.path, Method: string(a.method), User: c.cred.user, Group: c.cred.group, Caller: c.id,
		data: slices.Clone(a.data), to: to,
	}
	r.fd.Store(fd)
	handler := o.handler
	return func() { handler(r) }
}

// localCall answers the caller of an object of this process.
type localCall struct {
	caller *brokerClient
	seq    uint16
	object uint32
}

func (l *localCall) sendData(fill func([]byte) []byte) bool {
	data := fill(nil)
	if len(data)+32 > MaxMessage {
		l.caller.b.log.Warn("ubus broker: reply too large, dropped", "object", l.object, "bytes", len(data))
		return false
	}
	l.caller.send(MsgData, l.seq, l.object, nil, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, l.object)
		return AppendAttr(b, AttrData, data)
	})
	return true
}

func (l *localCall) sendStatus(s Status, fd *os.File) {
	l.caller.send(MsgStatus, l.seq, l.object, fd, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrStatus, uint32(s))
		return AppendAttrUint32(b, AttrObjID, l.object)
	})
}

// answer passes DATA or STATUS of an object's owner on to the caller. What
// does not fit is dropped, as ubusd does.
func (b *Broker) answer(c *brokerClient, h Header, a *attrs, payload []byte, fd *os.File) {
	need := uint8(AttrData)
	if h.Type == MsgStatus {
		need = AttrStatus
	}
	o := b.objects[a.objID]
	to := b.clients[h.Peer]
	if !a.ok(AttrObjID, need) || o == nil || o.owner != c || to == nil {
		closeFile(fd)
		return
	}
	to.send(h.Type, h.Seq, o.id, fd, func(buf []byte) []byte { return append(buf, payload...) })
}

// system serves the objects of the broker itself.
func (b *Broker) system(c *brokerClient, h Header, a *attrs) Status {
	method := string(a.method)
	switch {
	case a.objID == aclObject && method == "query":
		c.send(MsgData, h.Seq, h.Peer, nil, func(buf []byte) []byte {
			buf = AppendAttrUint32(buf, AttrObjID, aclObject)
			buf, mark := OpenAttr(buf, AttrData)
			buf = AppendInt32(buf, "seq", int32(b.aclSeq))
			return CloseAttr(b.appendACL(buf, c), mark)
		})
		return StatusOK
	case a.objID == aclObject:
		return StatusInvalidCommand
	case !a.ok(AttrMethod):
		return StatusInvalidArgument
	case a.objID == eventObject:
		return b.eventCall(c, method, a)
	case c.cred.uid != 0 || c.cred.gid != 0:
		return StatusPermissionDenied
	case method == "add":
		b.setMonitor(c, true)
		return StatusOK
	case method == "remove":
		b.setMonitor(c, false)
		return StatusOK
	}
	return StatusMethodNotFound
}

// appendACL appends the access list entries that carry private data for the
// client's objects.
func (b *Broker) appendACL(buf []byte, c *brokerClient) []byte {
	buf, mark := OpenArray(buf, "acl")
	for _, e := range b.acl.entries {
		if e.private == nil || !slices.ContainsFunc(c.objects, func(o *object) bool { return o.hasPath && matchACL(e.name, o.path) }) {
			continue
		}
		var m int
		buf, m = OpenTable(buf, "")
		buf = AppendString(buf, "obj", e.name)
		buf = AppendString(buf, e.who.kind(), e.who.name)
		buf = AppendValue(buf, "acl", e.private)
		buf = CloseContainer(buf, m)
	}
	return CloseContainer(buf, mark)
}
