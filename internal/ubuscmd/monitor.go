package ubuscmd

import (
	"context"
	"fmt"
	"time"

	"netbraid/ubus"
)

// monitor prints every message that the broker gets or sends until a signal.
func (c *command) monitor([]string) int {
	ctx, cancel := c.requestCtx()
	defer cancel()
	if err := c.client.Monitor(ctx, c.printMessage); err != nil {
		return int(ubus.StatusOf(err))
	}
	<-c.ctx.Done()
	stopCtx, cancelStop := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancelStop()
	c.client.MonitorStop(stopCtx)
	c.stopHandlers()
	return 0
}

func (c *command) printMessage(m ubus.MonitorMessage) {
	if len(c.types) > 0 && !c.types[m.Type] {
		return
	}
	dir := "<-"
	if m.Sent {
		dir = "->"
	}
	if c.direction == 'r' && m.Sent || c.direction == 't' && !m.Sent {
		return
	}
	fmt.Fprintf(c.out, "%s %08x #%08x %14s: %s\n", dir, m.Client, m.Peer, m.Type, messageTable(m.Data).JSON())
	c.out.Flush()
}

// attrNames are the names of message attributes, by id.
var attrNames = [...]string{
	ubus.AttrStatus: "status", ubus.AttrObjPath: "objpath", ubus.AttrObjID: "objid",
	ubus.AttrMethod: "method", ubus.AttrObjType: "objtype", ubus.AttrSignature: "signature",
	ubus.AttrData: "data", ubus.AttrTarget: "target", ubus.AttrActive: "active",
	ubus.AttrNoReply: "no_reply", ubus.AttrSubscribers: "subscribers",
	ubus.AttrUser: "user", ubus.AttrGroup: "group",
}

// messageTable lists the attributes of a message by ascending id. Those that
// are malformed are left out, of two the last counts.
func messageTable(data []byte) ubus.Table {
	var values [len(attrNames)]any
	for {
		a, rest, ok := ubus.NextAttr(data)
		if !ok {
			break
		}
		data = rest
		if int(a.ID) >= len(values) {
			continue
		}
		if v, ok := attrValue(a); ok {
			values[a.ID] = v
		}
	}
	var t ubus.Table
	for id, v := range values {
		if v != nil {
			t = append(t, ubus.Field{Name: attrNames[id], Value: v})
		}
	}
	return t
}

func attrValue(a ubus.Attr) (any, bool) {
	switch a.ID {
	case ubus.AttrStatus, ubus.AttrObjID, ubus.AttrObjType, ubus.AttrTarget:
		v, ok := a.Uint32()
		return int32(v), ok
	case ubus.AttrObjPath, ubus.AttrMethod, ubus.AttrUser, ubus.AttrGroup:
		return a.Text()
	case ubus.AttrActive, ubus.AttrNoReply:
		v, ok := a.Uint8()
		return v != 0, ok
	case ubus.AttrSignature, ubus.AttrData:
		return ubus.DecodeTable(a.Data), true
	case ubus.AttrSubscribers:
		ids := ubus.Array{}
		for b := a.Data; ; {
			sub, rest, ok := ubus.NextAttr(b)
			if !ok {
				return ids, true
			}
			if id, ok := sub.Uint32(); ok {
				ids = append(ids, int32(id))
			}
			b = rest
		}
	}
	return nil, false
}
