package ubus

import (
	"slices"
	"strings"
)

// object is a registered object. All fields are guarded by Broker.mu.
type object struct {
	id       uint32
	path     string
	hasPath  bool
	typ      *objType
	owner    *brokerClient
	subs     []*object // subscribers, oldest first, once per SUBSCRIBE
	targets  []*object // what this object subscribed to, the same
	activity uint16    // seq of the last NOTIFY ACTIVE
	handler  Handler   // local objects only
}

// objType is a signature, shared by the objects that name its id.
type objType struct {
	id        uint32
	refs      int
	signature []byte
	methods   []sigMethod
}

type sigMethod struct {
	name string
	raw  []byte // the whole attribute
}

// newType reads a signature; nil when it is broken.
func newType(sig []byte) *objType {
	t := &objType{signature: slices.Clone(sig)}
	for b := t.signature; len(b) > 0; {
		a, rest, ok := NextAttr(b)
		if !ok {
			return nil
		}
		name, args, ok := splitElement(a)
		if !ok || len(name) == 0 || Type(a.ID) != TypeTable || !goodArgs(args) {
			return nil
		}
		t.methods = append(t.methods, sigMethod{string(name), b[:len(b)-len(rest)]})
		b = rest
	}
	return t
}

func goodArgs(b []byte) bool {
	for len(b) > 0 {
		a, rest, ok := NextAttr(b)
		if !ok {
			return false
		}
		if name, val, ok := splitElement(a); !ok || len(name) == 0 || Type(a.ID) != TypeInt32 || len(val) != 4 {
			return false
		}
		b = rest
	}
	return true
}

func (t *objType) has(method string) bool {
	return t != nil && slices.ContainsFunc(t.methods, func(m sigMethod) bool { return m.name == method })
}

// addObject serves ADD_OBJECT.
func (b *Broker) addObject(c *brokerClient, h Header, a *attrs) {
	path, hasPath := string(a.objPath), a.ok(AttrObjPath)
	if hasPath && (b.byPath[path] != nil || !b.acl.allows(&c.cred, aclPublish, path, "")) {
		c.status(h, StatusInvalidArgument)
		return
	}
	if len(c.objects) >= b.opt.MaxObjects {
		c.status(h, StatusNoMemory)
		return
	}
	var t *objType
	announce := false
	switch {
	case a.ok(AttrSignature):
		if t = newType(a.signature); t != nil {
			t.id = freeID(b.types)
			b.types[t.id] = t
			announce = true
		}
	case a.ok(AttrObjType):
		t = b.types[a.objType]
	}
	o := b.insert(c, path, hasPath, t)
	c.send(MsgData, h.Seq, h.Peer, nil, func(buf []byte) []byte {
		buf = AppendAttrUint32(buf, AttrObjID, o.id)
		if announce {
			buf = AppendAttrUint32(buf, AttrObjType, t.id)
		}
		return buf
	})
	c.status(h, StatusOK)
}

// insert registers an object and announces it.
func (b *Broker) insert(c *brokerClient, path string, hasPath bool, t *objType) *object {
	o := &object{id: freeID(b.objects), path: path, hasPath: hasPath, typ: t, owner: c}
	b.objects[o.id] = o
	c.objects = append(c.objects, o)
	if t != nil {
		t.refs++
	}
	if hasPath {
		b.byPath[path] = o
		if t != nil {
			i, _ := slices.BinarySearchFunc(b.sorted, path, comparePath)
			b.sorted = slices.Insert(b.sorted, i, o)
		}
		b.objectEvent("ubus.object.add", o)
	}
	return o
}

func comparePath(o *object, path string) int { return strings.Compare(o.path, path) }

// removeObject serves REMOVE_OBJECT.
func (b *Broker) removeObject(c *brokerClient, h Header, a *attrs) {
	o, s := b.own(c, a)
	if s != StatusOK {
		c.status(h, s)
		return
	}
	c.send(MsgData, h.Seq, h.Peer, nil, func(buf []byte) []byte {
		buf = AppendAttrUint32(buf, AttrObjID, o.id)
		if o.typ != nil && o.typ.refs == 1 {
			buf = AppendAttrUint32(buf, AttrObjType, o.typ.id)
		}
		return buf
	})
	c.status(h, StatusOK)
	b.dropObject(o)
}

// own finds the client's object that OBJID names.
func (b *Broker) own(c *brokerClient, a *attrs) (*object, Status) {
	if !a.ok(AttrObjID) {
		return nil, StatusInvalidArgument
	}
	if a.objID < firstID && a.objID >= eventObject && a.objID <= monitorObject {
		return nil, StatusPermissionDenied
	}
	o := b.objects[a.objID]
	switch {
	case o == nil:
		return nil, StatusNotFound
	case o.owner != c:
		return nil, StatusPermissionDenied
	}
	return o, StatusOK
}

// dropObject forgets an object and tells everyone concerned.
func (b *Broker) dropObject(o *object) {
	c := o.owner
	delete(b.objects, o.id)
	if i := slices.Index(c.objects, o); i >= 0 {
		c.objects = slices.Delete(c.objects, i, i+1)
	}
	if o.typ != nil {
		if o.typ.refs--; o.typ.refs == 0 {
			delete(b.types, o.typ.id)
		}
	}
	if o.hasPath {
		delete(b.byPath, o.path)
		if i, found := slices.BinarySearchFunc(b.sorted, o.path, comparePath); found {
			b.sorted = slices.Delete(b.sorted, i, i+1)
		}
		b.objectEvent("ubus.object.remove", o)
	}
	b.patterns = slices.DeleteFunc(b.patterns, func(p *pattern) bool {
		if p.object == o {
			c.patterns--
		}
		return p.object == o
	})
	for _, target := range slices.Backward(slices.Clone(o.targets)) {
		b.endSubscription(o, target)
	}
	for _, sub := range slices.Backward(slices.Clone(o.subs)) {
		b.endSubscription(sub, o)
		sc := sub.owner
		sc.unsubSeq++
		sc.send(MsgUnsubscribe, sc.unsubSeq, 0, nil, func(buf []byte) []byte {
			buf = AppendAttrUint32(buf, AttrObjID, sub.id)
			return AppendAttrUint32(buf, AttrTarget, o.id)
		})
	}
}

// lookup serves LOOKUP. It runs without Broker.mu: a list of everything is
// sent in slices, and waits in between until the client has read.
func (c *brokerClient) lookup(h Header, a *attrs) Status {
	b := c.b
	path := string(a.objPath)
	prefix, isPrefix := strings.CutSuffix(path, "*")
	if a.ok(AttrObjPath) && !isPrefix {
		return c.lookupOne(h, path)
	}
	const slice = 128
	for next, more, found := prefix, true, false; ; {
		next, more = c.lookupSlice(h, next, prefix, slice, &found)
		if !more {
			if isPrefix && !found {
				return StatusNotFound
			}
			return StatusOK
		}
		if !c.out.waitBelow(b.opt.MaxQueue / 16) {
			return StatusOK
		}
	}
}

func (c *brokerClient) lookupOne(h Header, path string) Status {
	c.b.mu.Lock()
	defer c.b.mu.Unlock()
	if path == "" {
		return StatusInvalidArgument
	}
	o := c.b.byPath[path]
	if o == nil {
		return StatusNotFound
	}
	c.describe(h, o)
	return StatusOK
}

// lookupSlice sends up to n objects from the path next on; it returns the path
// to go on from.
func (c *brokerClient) lookupSlice(h Header, next, prefix string, n int, found *bool) (string, bool) {
	b := c.b
	b.mu.Lock()
	defer b.mu.Unlock()
	i, _ := slices.BinarySearchFunc(b.sorted, next, comparePath)
	for _, o := range b.sorted[i:] {
		if !strings.HasPrefix(o.path, prefix) {
			return "", false
		}
		if n--; n < 0 {
			return o.path, true
		}
		*found = true
		c.describe(h, o)
	}
	return "", false
}

// describe sends the DATA of a LOOKUP for one object, if the client may see it.
func (c *brokerClient) describe(h Header, o *object) {
	if o.typ == nil {
		return
	}
	sig := o.typ.signature
	if c.cred.uid != 0 && len(o.typ.methods) > 0 {
		var seen []byte
		for _, m := range o.typ.methods {
			if c.b.acl.allows(&c.cred, aclAccess, o.path, m.name) {
				seen = append(seen, m.raw...)
			}
		}
		if sig = seen; len(seen) == 0 {
			return
		}
	}
	c.send(MsgData, h.Seq, h.Peer, nil, func(buf []byte) []byte {
		buf = AppendAttrString(buf, AttrObjPath, o.path)
		buf = AppendAttrUint32(buf, AttrObjID, o.id)
		buf = AppendAttrUint32(buf, AttrObjType, o.typ.id)
		return AppendAttr(buf, AttrSignature, sig)
	})
}
