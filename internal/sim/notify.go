package sim

import (
	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// The kernel charges a queue with the memory of a message, not its length:
// short ones come from a cache of 576 octets, longer ones from kmalloc's
// powers of two; struct sk_buff and its tail are part of it.
const (
	skbSmall     = 832
	skbSmallData = 256
	skbOverhead  = 256
	skbTail      = 320
)

func skbCost(n int) int {
	if n <= skbSmallData {
		return skbSmall
	}
	size := 1024
	for size < n+skbTail {
		size *= 2
	}
	return size + skbOverhead
}

// queue is the receive queue of one netlink socket.
type queue struct {
	groups    [2]uint64 // bit g: RTNLGRP g is joined
	msgs      [][]byte
	bytes     int
	congested bool // set by loss; nothing is queued until the queue was empty
	pending   bool // the error has not been read yet
}

func (q *queue) joined(group uint32) bool {
	return group < 128 && q.groups[group/64]&(1<<(group%64)) != 0
}

// push queues a notification, or loses it.
func (q *queue) push(msg []byte, limit int) {
	if q.bytes > limit || q.congested {
		q.overrun()
		return
	}
	q.msgs = append(q.msgs, msg)
	q.bytes += skbCost(len(msg))
}

func (q *queue) overrun() {
	if !q.congested {
		q.congested, q.pending = true, true
	}
}

// Subscribe opens a new notification socket joined to the groups (RTNLGRP_*)
// and closes the one before with all that was queued in it.
func (k *Kernel) Subscribe(groups ...uint32) {
	k.queue = queue{}
	for _, g := range groups {
		if g < 128 {
			k.queue.groups[g/64] |= 1 << (g % 64)
		}
	}
}

// Receive reads one datagram from the notification socket, without waiting:
// ok is false when there is nothing. After loss the first read says overrun
// and nothing else; what was queued before the loss follows it, and until the
// queue has been emptied every further notification is lost.
func (k *Kernel) Receive() (datagram []byte, overrun, ok bool) {
	q := &k.queue
	if q.pending {
		q.pending = false
		return nil, true, true
	}
	if len(q.msgs) == 0 {
		q.congested = false
		return nil, false, false
	}
	datagram = q.msgs[0]
	q.msgs[0] = nil
	q.msgs = q.msgs[1:]
	q.bytes -= skbCost(len(datagram))
	if len(q.msgs) == 0 {
		q.congested, q.msgs = false, nil
	}
	return datagram, false, true
}

// send queues the message that encode appends if group is joined.
func (k *Kernel) send(group uint32, encode func(b []byte) []byte) {
	if !k.queue.joined(group) {
		return
	}
	if k.queue.congested {
		k.queue.overrun()
		return
	}
	k.scratch = encode(k.scratch[:0])
	msg := make([]byte, len(k.scratch))
	copy(msg, k.scratch)
	k.queue.push(msg, k.opts.QueueBytes)
}

func (k *Kernel) notifyLink(typ uint16, l *rtnl.Link) {
	k.send(unix.RTNLGRP_LINK, func(b []byte) []byte { return rtnl.AppendLinkInfo(b, typ, 0, 0, l) })
}

func (k *Kernel) notifyAddr(typ uint16, a *rtnl.Addr) {
	group := uint32(unix.RTNLGRP_IPV4_IFADDR)
	if a.Family == unix.AF_INET6 {
		group = unix.RTNLGRP_IPV6_IFADDR
	}
	k.send(group, func(b []byte) []byte { return rtnl.AppendAddr(b, typ, 0, k.seq, a) })
}

func (k *Kernel) notifyRoute(typ, flags uint16, r *rtnl.Route) {
	group := uint32(unix.RTNLGRP_IPV4_ROUTE)
	if r.Family == unix.AF_INET6 {
		group = unix.RTNLGRP_IPV6_ROUTE
	}
	k.send(group, func(b []byte) []byte { return rtnl.AppendRoute(b, typ, flags, k.seq, r) })
}

func (k *Kernel) notifyRule(typ uint16, r *rtnl.Rule) {
	group := uint32(unix.RTNLGRP_IPV4_RULE)
	if r.Family == unix.AF_INET6 {
		group = unix.RTNLGRP_IPV6_RULE
	}
	k.send(group, func(b []byte) []byte { return rtnl.AppendRule(b, typ, 0, k.seq, r) })
}

func (k *Kernel) notifyNeigh(typ uint16, n *rtnl.Neigh) {
	k.send(unix.RTNLGRP_NEIGH, func(b []byte) []byte { return rtnl.AppendNeigh(b, typ, 0, 0, n) })
}
