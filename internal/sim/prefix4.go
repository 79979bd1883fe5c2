package sim

import "golang.org/x/sys/unix"

// The routes that the kernel makes for IPv4 addresses (net/ipv4/fib_frontend.c).

func zeronet(a uint32) bool { return a>>24 == 0 }

// primaryOf is inet_ifa_byprefix: the first primary address in a's subnet.
func primaryOf(a *ifa4) *ifa4 {
	for _, o := range a.link.in4.addrs {
		if !o.secondary() && o.PrefixLen == a.PrefixLen && (a.network()^o.addr)&o.mask() == 0 {
			return o
		}
	}
	return nil
}

func (a *ifa4) prefixType() uint8 {
	if a.link.isLoop() {
		return unix.RTN_LOCAL
	}
	return unix.RTN_UNICAST
}

// addPrefixRoutes is fib_add_ifaddr.
func (k *Kernel) addPrefixRoutes(a *ifa4) {
	prim := a
	if a.secondary() {
		if prim = primaryOf(a); prim == nil {
			return
		}
	}
	k.magic(true, unix.RTN_LOCAL, a.local, 32, prim, 0)
	if !a.link.up() {
		return
	}
	if a.broadcast != 0 && a.broadcast != ^uint32(0) {
		k.magic(true, unix.RTN_BROADCAST, a.broadcast, 32, prim, 0)
	}
	prefix := a.network()
	if zeronet(prefix) || a.secondary() || prefix == a.local && a.PrefixLen == 32 {
		return
	}
	if a.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
		k.magic(true, a.prefixType(), prefix, a.PrefixLen, prim, a.Priority)
	}
	if a.PrefixLen < 31 {
		k.magic(true, unix.RTN_BROADCAST, prefix|^a.mask(), 32, prim, 0)
	}
}

// changePrefixMetric is fib_modify_prefix_metric.
func (k *Kernel) changePrefixMetric(a *ifa4, metric uint32) {
	prefix := a.network()
	if !a.link.up() || a.Flags&(unix.IFA_F_SECONDARY|unix.IFA_F_NOPREFIXROUTE) != 0 || zeronet(prefix) ||
		prefix == a.local && a.PrefixLen == 32 {
		return
	}
	k.magic(true, a.prefixType(), prefix, a.PrefixLen, a, metric)
	k.magic(false, a.prefixType(), prefix, a.PrefixLen, a, a.Priority)
}

// What other addresses still need (fib_del_ifaddr).
const (
	needLocal = 1 << iota
	needBroadcast
	needLow
	needHigh
)

// delPrefixRoutes is fib_del_ifaddr. Iprim is set while a secondary of its
// subnet is being promoted.
func (k *Kernel) delPrefixRoutes(a, iprim *ifa4) {
	low, high := a.network(), a.addr|^a.mask()
	prim, subnet := a, false
	if a.secondary() {
		prim = primaryOf(a)
		if prim == nil || iprim != nil && iprim != prim {
			return
		}
	} else if !zeronet(low) && (low != a.local || a.PrefixLen < 32) {
		if a.Flags&unix.IFA_F_NOPREFIXROUTE == 0 {
			k.magic(false, a.prefixType(), low, a.PrefixLen, prim, 0)
		}
		subnet = true
	}
	need, gone := 0, true
	if !a.link.in4.dead {
		need, gone = stillNeeded(a, prim, iprim, low, high)
	}
	if need&needBroadcast == 0 {
		k.magic(false, unix.RTN_BROADCAST, a.broadcast, 32, prim, 0)
	}
	if subnet && a.PrefixLen < 31 {
		if need&needHigh == 0 {
			k.magic(false, unix.RTN_BROADCAST, high, 32, prim, 0)
		}
		if need&needLow == 0 {
			k.magic(false, unix.RTN_BROADCAST, low, 32, prim, 0)
		}
	}
	if need&needLocal != 0 {
		return
	}
	k.magic(false, unix.RTN_LOCAL, a.local, 32, prim, 0)
	if gone && k.addrType(addr4(a.local), unix.RT_TABLE_LOCAL) != unix.RTN_LOCAL && k.sourceGone(a) {
		k.flush4()
	}
}

// stillNeeded looks which of the routes of a other addresses of the link use.
func stillNeeded(a, prim, iprim *ifa4, low, high uint32) (need int, gone bool) {
	gone = true
	var prim1 *ifa4
	sameSource := false
	for _, o := range a.link.in4.addrs {
		if o == a {
			gone = false
			continue
		}
		if iprim != nil && o.matches(iprim) {
			continue
		}
		if o.secondary() {
			if o.matches(prim) {
				prim1 = prim
			} else {
				if !sameSource {
					continue
				}
				if prim1 == nil || !o.matches(prim1) {
					prim1 = primaryOf(o)
				}
				if prim1 == nil || prim1.local != prim.local {
					continue
				}
			}
		} else {
			if prim.local != o.local {
				continue
			}
			prim1 = o
			sameSource = sameSource || prim != prim1
		}
		if a.local == o.local {
			need |= needLocal
		}
		need |= broadcastNeed(a.broadcast, low, high, o.broadcast)
		if prim1 == o && o.PrefixLen < 31 && !zeronet(o.network()) {
			need |= broadcastNeed(a.broadcast, low, high, o.addr|^o.mask())
			need |= broadcastNeed(a.broadcast, low, high, o.network())
		}
	}
	return need, gone
}

func broadcastNeed(own, low, high, other uint32) (need int) {
	if own == other {
		need |= needBroadcast
	}
	if high == other {
		need |= needHigh
	}
	if low == other {
		need |= needLow
	}
	return need
}

// sourceGone is fib_sync_down_addr: routes of table main that prefer a removed
// address as source die.
func (k *Kernel) sourceGone(a *ifa4) bool {
	found := false
	for _, fi := range k.fib4.infos {
		if fi.table == unix.RT_TABLE_MAIN && num4(fi.prefSrc) == a.local && fi.prefSrc.IsValid() {
			fi.flags |= unix.RTNH_F_DEAD
			fi.srcGone = true
			found = true
		}
	}
	return found
}
