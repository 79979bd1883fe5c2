package api

import (
	"encoding/binary"
	"sync"
	"time"

	"netbraid/internal/core"
	"netbraid/internal/iface"
	"netbraid/ubus"
)

// cache keeps encoded statuses for as long as the core's version is the same.
// What time alone changes is put in when an answer is made: the uptime; an
// answer with lifetimes, which count down, is not kept.
type cache struct {
	mu   sync.Mutex
	one  map[string]*kept // by interface
	dump *kept
}

// kept is an encoded answer. It is written to (the uptimes) and read with the
// cache locked.
type kept struct {
	version uint64
	data    []byte
	clocks  []clock
}

// clock is an uptime in an answer: where it stands, and since when it counts.
type clock struct {
	at    int
	since time.Time
}

// set brings the uptimes to now.
func (k *kept) set(now time.Time) {
	for _, c := range k.clocks {
		binary.BigEndian.PutUint32(k.data[c.at:], uint32(int32(now.Sub(c.since)/time.Second)))
	}
}

// with hands the kept answer of an interface ("" for the dump) to f; false,
// and f is not called, when there is none of that version.
func (c *cache) with(name string, version uint64, now time.Time, f func(data []byte)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.one[name]
	if name == "" {
		k = c.dump
	}
	if k == nil || k.version != version {
		return false
	}
	k.set(now)
	f(k.data)
	return true
}

// status gives the encoded status of an interface, kept or made. Only to be
// called on the loop, with the cache locked. again: it must be made each time.
func (c *cache) status(core *core.Core, m *iface.Machine, version uint64, now time.Time) (k *kept, again bool) {
	name := m.Config.Name
	if k := c.one[name]; k != nil && k.version == version {
		k.set(now)
		return k, false
	}
	t := InterfaceStatus(core, m, now)
	k = &kept{version: version, data: t.Encode()}
	if m.State() == iface.Up {
		if at := valueOf(k.data, "uptime"); at >= 0 {
			k.clocks = []clock{{at, now.Add(-m.Uptime(now))}}
		}
	}
	if counts(t) {
		delete(c.one, name)
		return k, true
	}
	if c.one == nil {
		c.one = map[string]*kept{}
	}
	c.one[name] = k
	return k, false
}

// all gives the encoded dump, as status does.
func (c *cache) all(core *core.Core, version uint64, now time.Time) *kept {
	if c.dump != nil && c.dump.version == version {
		c.dump.set(now)
		return c.dump
	}
	names := core.Interfaces()
	size := 64
	if c.dump != nil {
		size = len(c.dump.data) + 4096
	}
	d := &kept{version: version, data: make([]byte, 0, size)}
	var list, entry int
	keep := true
	d.data, list = ubus.OpenArray(d.data, "interface")
	for _, n := range names {
		k, again := c.status(core, core.Interface(n), version, now)
		keep = keep && !again
		d.data, entry = ubus.OpenTable(d.data, "")
		d.data = ubus.AppendString(d.data, "interface", n)
		for _, x := range k.clocks {
			d.clocks = append(d.clocks, clock{len(d.data) + x.at, x.since})
		}
		d.data = append(d.data, k.data...)
		d.data = ubus.CloseContainer(d.data, entry)
	}
	d.data = ubus.CloseContainer(d.data, list)
	c.dump = nil
	if keep {
		c.dump = d
	}
	if len(c.one) > len(names) {
		for n := range c.one {
			if core.Interface(n) == nil {
				delete(c.one, n)
			}
		}
	}
	return d
}

// forget drops what is kept of an interface that is no more.
func (c *cache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.one, name)
}

// valueOf tells where the INT32 with that name stands in blobmsg data; -1 when
// it is not there.
func valueOf(data []byte, name string) int {
	for rest := data; len(rest) > 0; {
		a, next, ok := ubus.NextAttr(rest)
		if !ok {
			return -1
		}
		if n, v := elementOf(a.Data); a.Extended && ubus.Type(a.ID) == ubus.TypeInt32 && n == name && len(v) == 4 {
			return len(data) - len(rest) + 4 + len(a.Data) - 4
		}
		rest = next
	}
	return -1
}

// elementOf takes the name off a blobmsg attribute.
func elementOf(b []byte) (name string, value []byte) {
	if len(b) < 4 {
		return "", nil
	}
	n := int(binary.BigEndian.Uint16(b))
	head := (2 + n + 1 + 3) &^ 3
	if head > len(b) || b[2+n] != 0 {
		return "", nil
	}
	return string(b[2 : 2+n]), b[head:]
}

// counts tells whether something in a status counts down.
func counts(v any) bool {
	switch v := v.(type) {
	case ubus.Table:
		for _, f := range v {
			if f.Name == "preferred" || f.Name == "valid" || f.Name != "data" && counts(f.Value) {
				return true
			}
		}
	case ubus.Array:
		for _, e := range v {
			if counts(e) {
				return true
			}
		}
	}
	return false
}
