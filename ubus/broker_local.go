package ubus

import (
	"fmt"
	"slices"
)

// AddObject serves an object of this process at path. Clients cannot tell it
// from an object of another client. The error is StatusInvalidArgument, wrapped,
// when the path is taken.
func (b *Broker) AddObject(path string, methods []Method, handler Handler) error {
	t := newType(AppendSignature(nil, methods))
	if t == nil {
		return fmt.Errorf("ubus broker: add object %q: bad method or argument name: %w", path, StatusInvalidArgument)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byPath[path] != nil {
		return fmt.Errorf("ubus broker: add object %q: path is taken: %w", path, StatusInvalidArgument)
	}
	if same := b.localType(t.signature); same != nil {
		t = same
	} else {
		t.id = freeID(b.types)
		b.types[t.id] = t
	}
	b.insert(b.local, path, true, t).handler = handler
	return nil
}

// localType finds the type of a local object with that signature.
func (b *Broker) localType(sig []byte) *objType {
	for _, o := range slices.Backward(b.local.objects) {
		if string(o.typ.signature) == string(sig) {
			return o.typ
		}
	}
	return nil
}

// RemoveObject takes an object of this process off the bus. Calls that it has
// not answered yet may still be answered. The error is StatusNotFound, wrapped,
// when this process has no object there.
func (b *Broker) RemoveObject(path string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.byPath[path]
	if o == nil || o.owner != b.local {
		return fmt.Errorf("ubus broker: remove object %q: %w", path, StatusNotFound)
	}
	b.dropObject(o)
	return nil
}

// Notify sends a notification of an object of this process to its
// subscribers, who do not reply. The error is StatusNotFound, wrapped, when
// this process has no object there.
func (b *Broker) Notify(path, name string, data Table) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.byPath[path]
	if o == nil || o.owner != b.local {
		return fmt.Errorf("ubus broker: notify %q %q: %w", path, name, StatusNotFound)
	}
	if len(o.subs) == 0 {
		return nil
	}
	payload := data.Encode()
	if size := len(name) + len(payload) + messageHead; size > MaxMessage {
		return fmt.Errorf("ubus broker: notify %q %q: message of %d bytes: %w", path, name, size, StatusInvalidArgument)
	}
	subs := slices.Clone(o.subs)
	slices.Reverse(subs)
	o.activity++
	b.tell(o, subs, o.activity, []byte(name), payload, true, true)
	return nil
}

// Event sends an event to all who listen for its name.
func (b *Broker) Event(name string, data Table) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.patterns) == 0 {
		return
	}
	payload := data.Encode()
	if size := len(name) + len(payload) + messageHead; size > MaxMessage {
		b.log.Warn("ubus broker: event too large, dropped", "event", name, "bytes", size)
		return
	}
	b.event(b.local, name, payload)
}

// HasSubscribers says whether someone subscribed to an object of this process.
func (b *Broker) HasSubscribers(path string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.byPath[path]
	return o != nil && o.owner == b.local && len(o.subs) > 0
}
