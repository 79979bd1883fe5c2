package ubus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

// retryMax bounds the pause between two attempts to reach the broker.
const retryMax = 2 * time.Second

// peer is the Bus of a daemon that is a client of another process's broker.
type peer struct {
	path   string
	log    *slog.Logger
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	client  *Client // nil while there is no broker
	objects map[string]*peerObject
	order   []*peerObject // as they were added
	types   map[string]*peerType
}

// peerObject is an object that the daemon wants on the bus. The fields below
// local hold for the current connection.
type peerObject struct {
	path      string
	signature string
	local     *clientObject
	typ       *peerType
	id        uint32 // 0: the broker has not answered yet
	active    bool
	removed   bool
}

// peerType is a signature that the broker knows, or is being told.
type peerType struct {
	id      uint32 // 0: not known yet
	refs    int    // objects sent with it
	waiting []*peerObject
}

func newPeer(path string, c *Client, log *slog.Logger) *peer {
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{path: path, log: log, cancel: cancel, client: c,
		objects: map[string]*peerObject{}, types: map[string]*peerType{}}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		p.stayConnected(ctx, c)
	}()
	return p
}

// stayConnected replaces a connection that is lost.
func (p *peer) stayConnected(ctx context.Context, c *Client) {
	for {
		select {
		case <-c.Done():
		case <-ctx.Done():
			c.Close()
			return
		}
		p.mu.Lock()
		p.client = nil
		p.mu.Unlock()
		p.log.Warn("ubus: broker lost", "socket", p.path, "err", c.Err())
		c.Close()
		if c = p.redial(ctx); c == nil {
			return
		}
		p.log.Info("ubus: broker is back", "socket", p.path)
		p.attach(c)
	}
}

// redial tries until a broker answers; nil when ctx ends.
func (p *peer) redial(ctx context.Context) *Client {
	for delay := time.Millisecond; ; delay = min(2*delay, retryMax) {
		try, cancel := context.WithTimeout(ctx, retryMax)
		c, err := Dial(try, p.path)
		cancel()
		if err == nil {
			return c
		}
		p.log.Debug("ubus: no broker", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(delay):
		}
	}
}

// attach puts all objects on a new connection.
func (p *peer) attach(c *Client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client = c
	p.types = map[string]*peerType{}
	for _, o := range p.order {
		o.id, o.active, o.typ = 0, false, nil
		p.send(c, o)
	}
}

// AddObject implements Bus.
func (p *peer) AddObject(path string, methods []Method, handler Handler) error {
	sig := AppendSignature(nil, methods)
	if newType(sig) == nil {
		return fmt.Errorf("ubus: add object %q: bad method or argument name: %w", path, StatusInvalidArgument)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return fmt.Errorf("ubus: add object %q: %w", path, ErrClosed)
	}
	if p.objects[path] != nil {
		return fmt.Errorf("ubus: add object %q: path is taken: %w", path, StatusInvalidArgument)
	}
	o := &peerObject{path: path, signature: string(sig)}
	o.local = &clientObject{path: path, named: true, methods: slices.Clone(methods), handler: handler}
	o.local.active = func(on bool) {
		p.mu.Lock()
		defer p.mu.Unlock()
		o.active = on
	}
	p.objects[path] = o
	p.order = append(p.order, o)
	if p.client != nil {
		p.send(p.client, o)
	}
	return nil
}

// send tells the broker of an object. The signature goes out once: objects of
// the same type wait for its id.
func (p *peer) send(c *Client, o *peerObject) {
	t := p.types[o.signature]
	first := t == nil
	if first {
		t = &peerType{}
		p.types[o.signature] = t
	}
	o.typ = t
	t.refs++
	if !first && t.id == 0 {
		t.waiting = append(t.waiting, o)
		return
	}
	p.sendAdd(c, o, t)
}

func (p *peer) sendAdd(c *Client, o *peerObject, t *peerType) {
	typeID := t.id
	call := &pendingCall{fail: func(error) {}}
	call.handle = func(h Header, a *attrs, fd *os.File) bool {
		closeFile(fd)
		if h.Type == MsgData {
			p.added(c, o, t, a)
			return false
		}
		if s := statusOf(a); s != StatusOK {
			p.log.Error("ubus: add object", "path", o.path, "err", s)
			p.refused(c, o, t)
		}
		return true
	}
	_, err := c.start(MsgAddObject, 0, nil, call, func(b []byte) []byte {
		b = AppendAttrString(b, AttrObjPath, o.path)
		if typeID != 0 {
			return AppendAttrUint32(b, AttrObjType, typeID)
		}
		return AppendAttr(b, AttrSignature, []byte(o.signature))
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		p.log.Error("ubus: add object", "path", o.path, "err", err)
	}
}

// added runs on the reading goroutine when the broker has given an id.
func (p *peer) added(c *Client, o *peerObject, t *peerType, a *attrs) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client != c && p.client != nil {
		return
	}
	if a.ok(AttrObjType) {
		t.id = a.objType
	}
	if o.removed {
		p.sendRemove(c, a.objID)
	} else {
		o.id = a.objID
		c.register(o.id, o.local)
	}
	p.flush(c, t)
}

// flush sends the objects that waited for the type's id.
func (p *peer) flush(c *Client, t *peerType) {
	waiting := t.waiting
	t.waiting = nil
	for i, o := range waiting {
		p.sendAdd(c, o, t)
		if t.id == 0 { // the signature was refused with its object: one more tries
			t.waiting = waiting[i+1:]
			return
		}
	}
}

// refused forgets that an object was sent.
func (p *peer) refused(c *Client, o *peerObject, t *peerType) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.typ == t {
		t.refs--
		o.typ = nil
	}
	if t.id == 0 {
		p.flush(c, t)
	}
}

// RemoveObject implements Bus.
func (p *peer) RemoveObject(path string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[path]
	if o == nil {
		return fmt.Errorf("ubus: remove object %q: %w", path, StatusNotFound)
	}
	delete(p.objects, path)
	p.order = slices.DeleteFunc(p.order, func(x *peerObject) bool { return x == o })
	o.removed = true
	if p.client == nil || o.typ == nil {
		return nil
	}
	if i := slices.Index(o.typ.waiting, o); i >= 0 {
		o.typ.waiting = slices.Delete(o.typ.waiting, i, i+1)
	} else if o.id != 0 {
		p.client.unregister(o.id)
		p.sendRemove(p.client, o.id)
	} // else added removes it
	if o.typ.refs--; o.typ.refs == 0 && p.types[o.signature] == o.typ {
		delete(p.types, o.signature) // the broker forgets it with the last object
	}
	return nil
}

func (p *peer) sendRemove(c *Client, id uint32) {
	c.start(MsgRemoveObject, 0, nil, ignoreAnswer(), func(b []byte) []byte {
		return AppendAttrUint32(b, AttrObjID, id)
	})
}

// ignoreAnswer waits for a STATUS so that its seq is not used meanwhile.
func ignoreAnswer() *pendingCall {
	return &pendingCall{
		fail: func(error) {},
		handle: func(h Header, _ *attrs, fd *os.File) bool {
			closeFile(fd)
			return h.Type == MsgStatus
		},
	}
}

// Notify implements Bus. Without a broker nobody is subscribed.
func (p *peer) Notify(path, name string, data Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[path]
	if o == nil {
		return fmt.Errorf("ubus: notify %q %q: %w", path, name, StatusNotFound)
	}
	if p.client == nil || o.id == 0 || !o.active {
		return nil
	}
	return (&Object{p.client, o.id}).Notify(name, data)
}

// Event implements Bus. Without a broker nobody listens.
func (p *peer) Event(name string, data Table) {
	p.mu.Lock()
	c := p.client
	p.mu.Unlock()
	if c == nil {
		return
	}
	_, err := c.start(MsgInvoke, eventObject, nil, ignoreAnswer(), func(b []byte) []byte {
		b = AppendAttrUint32(b, AttrObjID, eventObject)
		b = AppendAttrString(b, AttrMethod, "send")
		return appendEvent(b, name, data)
	})
	if err != nil && !errors.Is(err, ErrClosed) {
		p.log.Warn("ubus: send event", "event", name, "err", err)
	}
}

// HasSubscribers implements Bus.
func (p *peer) HasSubscribers(path string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.objects[path]
	return o != nil && o.active
}

// Embedded implements Bus.
func (p *peer) Embedded() *Broker { return nil }

// Close implements Bus. What was sent before goes out first, for up to a second.
func (p *peer) Close() error {
	p.mu.Lock()
	p.closed = true
	c := p.client
	p.mu.Unlock()
	if c != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		c.Flush(ctx)
		cancel()
	}
	p.cancel()
	p.wg.Wait()
	return nil
}
