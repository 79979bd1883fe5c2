package ubus

import (
	"context"
	"os"
	"slices"
)

// clientObject is an object that we serve, or the anonymous one that receives
// events or notifications.
type clientObject struct {
	path    string
	named   bool
	methods []Method
	handler Handler
	event   func(name string, data Table) // instead of handler
	active  func(on bool)                 // subscribers came or went; on the reading goroutine
	lost    func(target uint32)           // what we subscribed to has gone
}

// Object is an object that a Client has put on the bus.
type Object struct {
	c  *Client
	id uint32
}

// ID returns the object's id on the bus.
func (o *Object) ID() uint32 { return o.id }

// AddObject puts an object on the bus. An empty path makes an object without
// a path. onActive, if not nil, hears when the object gets its first subscriber
// and when it loses its last.
func (c *Client) AddObject(ctx context.Context, path string, methods []Method, handler Handler, onActive func(bool)) (*Object, error) {
	o := &clientObject{path: path, named: path != "", methods: slices.Clone(methods), handler: handler, active: onActive}
	return c.add(ctx, o)
}

func (c *Client) add(ctx context.Context, o *clientObject) (*Object, error) {
	var id uint32
	_, err := c.request(ctx, MsgAddObject, 0, nil, o.appendAdd, func(a *attrs) {
		id = a.objID
		c.register(id, o)
	})
	if err != nil {
		return nil, wrap(err, "add object %q", o.path)
	}
	return &Object{c, id}, nil
}

// appendAdd appends the attributes of ADD_OBJECT, with a signature.
func (o *clientObject) appendAdd(b []byte) []byte {
	if !o.named && o.methods == nil {
		return b
	}
	if o.named {
		b = AppendAttrString(b, AttrObjPath, o.path)
	}
	b, mark := OpenAttr(b, AttrSignature)
	return CloseAttr(AppendSignature(b, o.methods), mark)
}

func (c *Client) register(id uint32, o *clientObject) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects[id] = o
}

func (c *Client) unregister(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, id)
}

// Remove takes the object off the bus. Calls not answered yet stay so.
func (o *Object) Remove(ctx context.Context) error {
	_, err := o.c.request(ctx, MsgRemoveObject, 0, nil, func(b []byte) []byte {
		return AppendAttrUint32(b, AttrObjID, o.id)
	}, nil)
	if err == nil {
		o.c.unregister(o.id)
	}
	return wrap(err, "remove object %08x", o.id)
}

// Notify sends a notification to the object's subscribers, who do not reply.
// It does not wait.
func (o *Object) Notify(name string, data Table) error {
	_, err := o.c.start(MsgNotify, o.id, nil, nil, func(b []byte) []byte {
		return appendNotify(b, o.id, name, data, true)
	})
	return wrap(err, "notify %q", name)
}

func appendNotify(b []byte, id uint32, name string, data Table, noReply bool) []byte {
	b = AppendAttrUint32(b, AttrObjID, id)
	b = AppendAttrString(b, AttrMethod, name)
	b, mark := OpenAttr(b, AttrData)
	b = CloseAttr(AppendTable(b, data), mark)
	if noReply {
		b = AppendAttrUint8(b, AttrNoReply, 1)
	}
	return b
}

// NotifyResult is what one subscriber answered.
type NotifyResult struct {
	Subscriber uint32 // object id
	Status     Status
}

// NotifyWait sends a notification and waits for the answers of all
// subscribers. When the context ends first it returns those that came.
func (o *Object) NotifyWait(ctx context.Context, name string, data Table) ([]NotifyResult, error) {
	type event struct {
		subscribers []uint32
		result      NotifyResult
		err         error
		first       bool
	}
	ch := make(chan event, 64)
	done := make(chan struct{})
	defer close(done)
	post := func(e event) {
		select {
		case ch <- e:
		case <-done:
		}
	}
	first, open := true, 0
	p := &pendingCall{fail: func(err error) { post(event{err: err}) }}
	p.handle = func(h Header, a *attrs, fd *os.File) bool {
		closeFile(fd)
		switch {
		case h.Type != MsgStatus:
		case first:
			first = false
			ids := subscriberIDs(a.subscribers)
			open = len(ids)
			post(event{first: true, subscribers: ids, err: statusOf(a).err()})
		default:
			open--
			post(event{result: NotifyResult{h.Peer, statusOf(a)}})
		}
		return !first && open <= 0
	}
	seq, err := o.c.start(MsgNotify, o.id, nil, p, func(b []byte) []byte {
		return appendNotify(b, o.id, name, data, false)
	})
	if err != nil {
		return nil, wrap(err, "notify %q", name)
	}
	defer o.c.forget(seq, p)
	var results []NotifyResult
	for want := -1; want != len(results); {
		select {
		case e := <-ch:
			if e.err != nil {
				return results, wrap(e.err, "notify %q", name)
			}
			if e.first {
				want = len(e.subscribers)
			} else {
				results = append(results, e.result)
			}
		case <-ctx.Done():
			return results, wrap(ctx.Err(), "notify %q", name)
		}
	}
	return results, nil
}

func subscriberIDs(b []byte) (ids []uint32) {
	for {
		a, rest, ok := NextAttr(b)
		if !ok {
			return ids
		}
		if id, ok := a.Uint32(); ok {
			ids = append(ids, id)
		}
		b = rest
	}
}

// Listen calls event for every event that matches one of the patterns: a name,
// or a beginning of names with a final *. Remove the returned object to stop.
func (c *Client) Listen(ctx context.Context, event func(name string, data Table), patterns ...string) (*Object, error) {
	o, err := c.add(ctx, &clientObject{event: event})
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if err := o.ListenTo(ctx, p); err != nil {
			o.Remove(ctx)
			return nil, err
		}
	}
	return o, nil
}

// ListenTo adds a pattern to an object that Listen made.
func (o *Object) ListenTo(ctx context.Context, pattern string) error {
	_, err := o.c.request(ctx, MsgInvoke, eventObject, nil, func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, eventObject)
		b = AppendAttrString(b, AttrMethod, "register")
		b, mark := OpenAttr(b, AttrData)
		b = AppendInt32(b, "object", int32(o.id))
		return CloseAttr(AppendString(b, "pattern", pattern), mark)
	}, nil)
	return wrap(err, "listen for event %q", pattern)
}

// Subscriber returns an object for Subscribe: notify gets every notification
// of what it is subscribed to, lost (may be nil) the id of one that has gone.
func (c *Client) Subscriber(ctx context.Context, notify func(name string, data Table), lost func(target uint32)) (*Object, error) {
	return c.add(ctx, &clientObject{event: notify, lost: lost})
}

// Subscribe subscribes to the object with the id target. One more Subscribe to
// the same needs one more Unsubscribe.
func (o *Object) Subscribe(ctx context.Context, target uint32) error {
	return wrap(o.subscription(ctx, MsgSubscribe, target), "subscribe to %08x", target)
}

// Unsubscribe undoes one Subscribe.
func (o *Object) Unsubscribe(ctx context.Context, target uint32) error {
	return wrap(o.subscription(ctx, MsgUnsubscribe, target), "unsubscribe from %08x", target)
}

func (o *Object) subscription(ctx context.Context, t MsgType, target uint32) error {
	_, err := o.c.request(ctx, t, 0, nil, func(b []byte) []byte {
		return AppendAttrUint32(AppendAttrUint32(b, AttrObjID, o.id), AttrTarget, target)
	}, nil)
	return err
}
