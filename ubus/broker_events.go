package ubus

import (
	"slices"
	"strings"
)

// pattern is one registration for events. Guarded by Broker.mu.
type pattern struct {
	object *object
	text   string // without the final *
	prefix bool
}

func (p *pattern) matches(name string) bool {
	if p.prefix {
		return strings.HasPrefix(name, p.text)
	}
	return name == p.text
}

// eventCall serves the methods of the event object.
func (b *Broker) eventCall(c *brokerClient, method string, a *attrs) Status {
	switch method {
	case "register":
		return b.register(c, DecodeTable(a.data))
	case "send":
		return b.sendEvent(c, a.data)
	}
	return StatusInvalidCommand
}

func (b *Broker) register(c *brokerClient, args Table) Status {
	id, ok := args.Uint32("object")
	text, ok2 := args.String("pattern")
	if !ok || !ok2 {
		return StatusInvalidArgument
	}
	if id < firstID {
		return StatusPermissionDenied
	}
	o := b.objects[id]
	if o == nil {
		return StatusNotFound
	}
	name, prefix := strings.CutSuffix(text, "*")
	if o.owner != c || text == "" || !b.acl.allows(&c.cred, aclListen, name, "") {
		return StatusPermissionDenied
	}
	if c.patterns >= b.opt.MaxObjects {
		return StatusNoMemory
	}
	c.patterns++
	i := 0 // events go out in the order of the patterns, older ones first
	for i < len(b.patterns) && b.patterns[i].text <= name {
		i++
	}
	b.patterns = slices.Insert(b.patterns, i, &pattern{object: o, text: name, prefix: prefix})
	return StatusOK
}

func (b *Broker) sendEvent(c *brokerClient, args []byte) Status {
	id, ok := findElement(args, "id", TypeString)
	data, ok2 := findElement(args, "data", TypeTable)
	name, ok3 := cstring(id)
	if !ok || !ok2 || !ok3 {
		return StatusInvalidArgument
	}
	if strings.HasPrefix(string(name), "ubus.") || !b.acl.allows(&c.cred, aclSend, string(name), "") {
		return StatusPermissionDenied
	}
	b.event(c, string(name), data)
	return StatusOK
}

// findElement returns the value of the first blobmsg attribute with that name
// and type.
func findElement(b []byte, name string, t Type) ([]byte, bool) {
	for {
		a, rest, ok := NextAttr(b)
		if !ok {
			return nil, false
		}
		if n, val, ok := splitElement(a); ok && Type(a.ID) == t && string(n) == name {
			return val, true
		}
		b = rest
	}
}

// event delivers an event once to every object that listens for it, but not to
// its sender.
func (b *Broker) event(from *brokerClient, name string, data []byte) {
	var sent map[*object]bool
	for _, p := range b.patterns {
		if !p.matches(name) || p.object.owner == from || sent[p.object] {
			continue
		}
		if p.object.owner.patterns > 1 {
			if sent == nil {
				sent = map[*object]bool{}
			}
			sent[p.object] = true
		}
		b.eventSeq++
		p.object.owner.send(MsgInvoke, b.eventSeq, 0, nil, func(buf []byte) []byte {
			buf = AppendAttrUint32(buf, AttrObjID, p.object.id)
			buf = AppendAttrString(buf, AttrMethod, name)
			return AppendAttr(buf, AttrData, data)
		})
	}
}

func (b *Broker) objectEvent(name string, o *object) {
	if len(b.patterns) == 0 {
		return
	}
	data := AppendInt32(nil, "id", int32(o.id))
	b.event(nil, name, AppendString(data, "path", o.path))
}

// subscribe serves SUBSCRIBE.
func (b *Broker) subscribe(c *brokerClient, a *attrs) Status {
	if !a.ok(AttrObjID, AttrTarget) {
		return StatusInvalidArgument
	}
	o, target := b.objects[a.objID], b.objects[a.target]
	switch {
	case o == nil && a.objID > monitorObject:
		return StatusNotFound
	case o == nil || o.owner != c:
		return StatusInvalidArgument
	case target == nil:
		return StatusNotFound
	case target.owner == c:
		return StatusInvalidArgument
	case target.hasPath && !b.acl.allows(&c.cred, aclSubscribe, target.path, ""):
		return StatusNotFound
	case c.subs >= b.opt.MaxObjects:
		return StatusNoMemory
	}
	c.subs++
	o.targets = append(o.targets, target)
	target.subs = append(target.subs, o)
	if len(target.subs) == 1 {
		target.active(true)
	}
	return StatusOK
}

// unsubscribe serves UNSUBSCRIBE.
func (b *Broker) unsubscribe(c *brokerClient, a *attrs) Status {
	if !a.ok(AttrObjID, AttrTarget) {
		return StatusInvalidArgument
	}
	o := b.objects[a.objID]
	switch {
	case o == nil:
		return StatusNotFound
	case o.owner != c:
		return StatusInvalidArgument
	}
	target := b.objects[a.target]
	if target == nil || !slices.Contains(o.targets, target) {
		return StatusNotFound
	}
	b.endSubscription(o, target)
	return StatusOK
}

// endSubscription undoes one SUBSCRIBE.
func (b *Broker) endSubscription(o, target *object) {
	if i := slices.Index(o.targets, target); i >= 0 {
		o.targets = slices.Delete(o.targets, i, i+1)
		o.owner.subs--
	}
	if i := slices.Index(target.subs, o); i >= 0 {
		target.subs = slices.Delete(target.subs, i, i+1)
		if len(target.subs) == 0 && b.objects[target.id] == target {
			target.active(false)
		}
	}
}

// active tells the owner that the first subscriber came or the last one went.
func (o *object) active(on bool) {
	o.activity++
	o.owner.send(MsgNotify, o.activity, 0, nil, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, o.id)
		return AppendAttrUint8(b, AttrActive, boolByte(on))
	})
}

// notify serves NOTIFY.
func (b *Broker) notify(c *brokerClient, h Header, a *attrs) {
	o, s := b.own(c, a)
	if s == StatusOK && !a.ok(AttrMethod) {
		s = StatusInvalidArgument
	}
	if s != StatusOK {
		c.status(h, s)
		return
	}
	subs := slices.Clone(o.subs)
	slices.Reverse(subs)
	if !a.noReply {
		c.send(MsgStatus, h.Seq, h.Peer, nil, func(buf []byte) []byte {
			buf = AppendAttrUint32(buf, AttrObjID, o.id)
			buf, mark := OpenAttr(buf, AttrSubscribers)
			for _, sub := range subs {
				buf = AppendAttrUint32(buf, 0, sub.id)
			}
			return AppendAttrUint32(CloseAttr(buf, mark), AttrStatus, 0)
		})
	}
	b.tell(o, subs, h.Seq, a.method, a.data, a.ok(AttrData), a.noReply)
}

// tell invokes the method of a notification on every subscriber.
func (b *Broker) tell(o *object, subs []*object, seq uint16, method, data []byte, hasData, noReply bool) {
	c := o.owner
	for _, sub := range subs {
		sub.owner.send(MsgInvoke, seq, c.id, nil, func(buf []byte) []byte {
			if noReply {
				buf = AppendAttrUint8(buf, AttrNoReply, 1)
			}
			buf = AppendAttrUint32(buf, AttrObjID, sub.id)
			return appendCall(buf, method, &c.cred, data, hasData)
		})
	}
}
