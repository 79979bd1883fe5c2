package sim

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// Settings that are announced, besides those that the kernel itself reads here.
const (
	confRPFilter     = "rp_filter"
	confMCForwarding = "mc_forwarding"
	confProxyARP     = "proxy_arp"
	confProxyNDP     = "proxy_ndp"
	confBCForwarding = "bc_forwarding"
)

// netconfBit is what a setting is in a message, 0 for none.
func netconfBit(key string) rtnl.NetconfField {
	switch key {
	case confForwarding:
		return rtnl.NetconfForwarding
	case confRPFilter:
		return rtnl.NetconfRPFilter
	case confProxyARP, confProxyNDP:
		return rtnl.NetconfProxyNeigh
	case confIgnoreLinkdown:
		return rtnl.NetconfIgnoreLinkdown
	}
	return 0
}

// netconfInfo is all that is announced of a directory of settings.
func (k *Kernel) netconfInfo(f int, name string) *rtnl.Netconf {
	get := func(key string) int32 { return int32(k.confInt(f, name, key)) }
	n := &rtnl.Netconf{Family: unix.AF_INET, Forwarding: get(confForwarding), MCForwarding: get(confMCForwarding),
		IgnoreLinkdown: get(confIgnoreLinkdown), Known: rtnl.NetconfForwarding | rtnl.NetconfMCForwarding | rtnl.NetconfProxyNeigh | rtnl.NetconfIgnoreLinkdown}
	if f == v6 {
		n.Family, n.ProxyNeigh = unix.AF_INET6, get(confProxyNDP)
	} else {
		n.Known |= rtnl.NetconfRPFilter | rtnl.NetconfBCForwarding
		n.RPFilter, n.ProxyNeigh, n.BCForwarding = get(confRPFilter), get(confProxyARP), get(confBCForwarding)
	}
	switch name {
	case "all":
		n.Index = rtnl.NetconfAll
	case "default":
		n.Index = rtnl.NetconfDefault
	default:
		n.Index = int32(k.byName[name].Index)
	}
	return n
}

// notifyNetconf is inet_netconf_notify_devconf and its like of IPv6: what are
// the settings that are told.
func (k *Kernel) notifyNetconf(f int, name string, what rtnl.NetconfField) {
	n := k.netconfInfo(f, name)
	n.Known &= what
	k.sendNetconf(unix.RTM_NEWNETCONF, f, n)
}

func (k *Kernel) sendNetconf(typ uint16, f int, n *rtnl.Netconf) {
	group := [...]uint32{unix.RTNLGRP_IPV4_NETCONF, unix.RTNLGRP_IPV6_NETCONF}[f]
	k.send(group, func(b []byte) []byte { return rtnl.AppendNetconf(b, typ, 0, 0, n) })
}

const allNetconf = ^rtnl.NetconfField(0)

// netconfGone tells that the settings of a link have gone.
func (k *Kernel) netconfGone(f int, l *link) {
	family := [...]uint8{unix.AF_INET, unix.AF_INET6}[f]
	k.sendNetconf(unix.RTM_DELNETCONF, f, &rtnl.Netconf{Family: family, Index: int32(l.Index)})
}

// netconfMoved tells of settings under a new name: the old ones go.
func (k *Kernel) netconfMoved(f int, l *link) {
	k.netconfGone(f, l)
	k.notifyNetconf(f, l.Name, allNetconf)
}

// mplsPath is the link of a file of MPLS.
func (k *Kernel) mplsPath(path string) (name string, ok bool) {
	name, ok = strings.CutPrefix(path, sysctlRoot+"mpls/conf/")
	if !ok {
		return "", false
	}
	if name, ok = strings.CutSuffix(name, "/input"); ok {
		_, ok = k.mpls[name]
	}
	return name, ok
}

// writeMPLS is mpls_conf_proc.
func (k *Kernel) writeMPLS(name, path, value string) error {
	v, err := strconv.ParseInt(strings.TrimSpace(value), 0, 64)
	if err != nil || int64(int32(v)) != v {
		return fmt.Errorf("sysctl %s: value %q: %w", path, value, unix.EINVAL)
	}
	if k.mpls[name] != v {
		k.mpls[name] = v
		k.notifyMPLS(unix.RTM_NEWNETCONF, k.byName[name], rtnl.NetconfInput)
	}
	return nil
}

// addMPLS is mpls_add_dev.
func (k *Kernel) addMPLS(l *link) {
	if k.opts.MPLS {
		k.mpls[l.Name] = 0
		k.notifyMPLS(unix.RTM_NEWNETCONF, l, rtnl.NetconfInput)
	}
}

func (k *Kernel) mplsGone(l *link) {
	if k.opts.MPLS {
		delete(k.mpls, l.Name)
		k.notifyMPLS(unix.RTM_DELNETCONF, l, 0)
	}
}

func (k *Kernel) mplsMoved(l *link, old string) {
	if k.opts.MPLS {
		k.mpls[l.Name] = k.mpls[old]
		delete(k.mpls, old)
		k.notifyMPLS(unix.RTM_DELNETCONF, l, 0)
		k.notifyMPLS(unix.RTM_NEWNETCONF, l, rtnl.NetconfInput)
	}
}

func (k *Kernel) mplsInfo(l *link) *rtnl.Netconf {
	return &rtnl.Netconf{Family: unix.AF_MPLS, Index: int32(l.Index), Known: rtnl.NetconfInput, Input: int32(k.mpls[l.Name])}
}

func (k *Kernel) notifyMPLS(typ uint16, l *link, what rtnl.NetconfField) {
	n := k.mplsInfo(l)
	n.Known = what
	k.send(unix.RTNLGRP_MPLS_NETCONF, func(b []byte) []byte { return rtnl.AppendNetconf(b, typ, 0, 0, n) })
}

func (k *Kernel) dumpNetconf(d *dump, family uint8) {
	put := func(f int, name string) {
		n := k.netconfInfo(f, name)
		d.add(func(b []byte) []byte { return rtnl.AppendNetconf(b, unix.RTM_NEWNETCONF, unix.NLM_F_MULTI, d.seq, n) })
	}
	if family == unix.AF_MPLS && !k.opts.MPLS || family != unix.AF_INET && family != unix.AF_INET6 && family != unix.AF_MPLS {
		family = unix.AF_UNSPEC // of a family that there is not it shows all
	}
	for f, is := range []uint8{unix.AF_INET, unix.AF_INET6} {
		if family != unix.AF_UNSPEC && family != is {
			continue
		}
		for _, l := range k.order {
			if f == v4 && l.in4 != nil || f == v6 && l.in6 != nil {
				put(f, l.Name)
			}
		}
		put(f, "all")
		put(f, "default")
	}
	if !k.opts.MPLS || family != unix.AF_UNSPEC && family != unix.AF_MPLS {
		return
	}
	for _, l := range k.order {
		n := k.mplsInfo(l)
		d.add(func(b []byte) []byte { return rtnl.AppendNetconf(b, unix.RTM_NEWNETCONF, unix.NLM_F_MULTI, d.seq, n) })
	}
}
