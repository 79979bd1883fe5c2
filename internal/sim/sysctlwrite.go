package sim

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// sysctlRange says what values a file takes; the others take any int.
var sysctlRange = map[string][2]int64{
	"ipv6/conf/hop_limit":                 {1, 255},
	"ipv6/conf/accept_ra_min_lft":         {0, math.MaxInt32},
	"ipv6/conf/router_solicitations":      {-1, math.MaxInt32},
	"ipv6/conf/ioam6_enabled":             {0, 1},
	"ipv6/conf/ioam6_id":                  {0, 65535},
	"ipv6/conf/ioam6_id_wide":             {0, math.MaxUint32},
	"ipv6/conf/ndisc_tclass":              {0, 255},
	"ipv6/conf/rpl_seg_enabled":           {0, 1},
	"ipv6/conf/accept_untracked_na":       {0, 2},
	"ipv6/conf/ra_defrtr_metric":          {1, math.MaxUint32},
	"ipv6/conf/router_solicitation_delay": {0, math.MaxInt32},
	"ipv4/neigh/base_reachable_time_ms":   {0, math.MaxInt32},
	"ipv6/neigh/base_reachable_time_ms":   {0, math.MaxInt32},
	"ipv4/neigh/interval_probe_time_ms":   {1, math.MaxInt32},
	"ipv6/neigh/interval_probe_time_ms":   {1, math.MaxInt32},
	"ipv4/neigh/retrans_time_ms":          {0, math.MaxInt32},
	"ipv6/neigh/retrans_time_ms":          {0, math.MaxInt32},
}

// WriteSysctl writes a file that ReadSysctl can read, with what it causes: the
// settings of other links when it is all's forwarding or disable_ipv6, and the
// addresses and routes that appear or go. The error wraps EINVAL for a value
// that the kernel refuses, ENOENT where there is no such file.
func (k *Kernel) WriteSysctl(path, value string) error {
	if name, ok := k.mplsPath(path); ok {
		return k.writeMPLS(name, path, value)
	}
	f, neigh, name, key, err := k.sysctlPath(path)
	if err != nil {
		return err
	}
	invalid := fmt.Errorf("sysctl %s: value %q: %w", path, value, unix.EINVAL)
	if key == confSecret && f == v6 && !neigh {
		return k.writeSecret(name, strings.TrimSpace(value), invalid)
	}
	v, perr := strconv.ParseInt(strings.TrimSpace(value), 0, 64)
	lo, hi := int64(math.MinInt32), int64(math.MaxInt32)
	dir := []string{"ipv4", "ipv6"}[f] + "/conf/"
	if neigh {
		dir = []string{"ipv4", "ipv6"}[f] + "/neigh/"
		lo = 0
	}
	if r, known := sysctlRange[dir+key]; known {
		lo, hi = r[0], r[1]
	}
	if perr != nil || v < lo || v > hi {
		return invalid
	}
	if neigh {
		k.conf[f].neigh[name].set(key, v)
		return nil
	}
	if f == v6 {
		err = k.writeConf6(name, key, v, invalid)
	} else {
		k.writeConf4(name, key, v)
	}
	k.Settle()
	return err
}

func (k *Kernel) writeConf4(name, key string, v int64) {
	old := k.confInt(v4, name, key)
	k.setConf(v4, name, key, v)
	switch {
	case key != confForwarding:
		k.confWritten(name, key, old, v)
	case old == v:
	case name == "all": // inet_forward_change
		k.setConf(v4, "default", key, v)
		k.notifyNetconf(v4, "all", rtnl.NetconfForwarding)
		k.notifyNetconf(v4, "default", rtnl.NetconfForwarding)
		for _, l := range k.order {
			if l.in4 != nil {
				k.setConf(v4, l.Name, key, v)
				k.notifyNetconf(v4, l.Name, rtnl.NetconfForwarding)
			}
		}
	default:
		k.notifyNetconf(v4, name, rtnl.NetconfForwarding)
	}
}

// notCopied are the settings of IPv4 that new links alone take from the default
// (ipv4_doint_and_flush, net/ipv4/devinet.c).
var notCopied = map[string]bool{"disable_xfrm": true, "disable_policy": true, confPromoteSecondaries: true, "route_localnet": true}

// confWritten is devinet_conf_proc: a default is copied to the links whose own
// file nobody has written to, without a word.
func (k *Kernel) confWritten(name, key string, old, v int64) {
	if notCopied[key] {
		return
	}
	c := k.conf[v4].conf[name]
	if c.written == nil {
		c.written = map[string]bool{}
	}
	c.written[key] = true
	if name == "default" {
		for _, l := range k.order {
			if o := k.conf[v4].conf[l.Name]; o != nil && !o.own && !o.written[key] {
				o.set(key, v)
			}
		}
	}
	if bit := netconfBit(key); bit != 0 && old != v {
		k.notifyNetconf(v4, name, bit)
	}
}

func (k *Kernel) writeConf6(name, key string, v int64, invalid error) error {
	old := k.confInt(v6, name, key)
	l := k.byName[name]
	switch key {
	case confMTU:
		if l != nil && (v < minMTU6 || v > int64(l.MTU)) || l == nil && v < minMTU6 {
			return invalid
		}
	case confAddrGenMode:
		return k.writeGenMode(name, v, invalid)
	case confForwarding:
		k.writeForwarding(name, old, v)
		return nil
	case confDisableIPv6:
		k.writeDisable(name, old, v)
		return nil
	}
	k.setConf(v6, name, key, v)
	switch {
	case key == confIgnoreLinkdown:
		k.linkdownChange(name, old, v)
	case netconfBit(key) != 0 && old != v:
		k.notifyNetconf(v6, name, netconfBit(key))
	}
	return nil
}

// linkdownChange is addrconf_fixup_linkdown: what holds for all is copied to
// every link and, in silence, to the default.
func (k *Kernel) linkdownChange(name string, old, v int64) {
	if name == "all" {
		k.setConf(v6, "default", confIgnoreLinkdown, v)
		for _, l := range k.order {
			if l.in6 == nil {
				continue
			}
			was := k.confInt(v6, l.Name, confIgnoreLinkdown)
			k.setConf(v6, l.Name, confIgnoreLinkdown, v)
			if (was != 0) != (v != 0) {
				k.notifyNetconf(v6, l.Name, rtnl.NetconfIgnoreLinkdown)
			}
		}
	}
	if (old != 0) != (v != 0) {
		k.notifyNetconf(v6, name, rtnl.NetconfIgnoreLinkdown)
	}
}

func (k *Kernel) writeGenMode(name string, v int64, invalid error) error {
	if v < genEUI64 || v > genRandom {
		return invalid
	}
	if _, known := k.conf[v6].secret[name]; v == genStable && !known {
		return invalid
	}
	apply := func(l *link) {
		if l.in6 != nil && int64(l.in6.genMode()) != v {
			k.setConf(v6, l.Name, confAddrGenMode, v)
			k.autoAddrs(l)
		}
	}
	switch name {
	case "all":
		k.setConf(v6, name, confAddrGenMode, v)
		k.setConf(v6, "default", confAddrGenMode, v)
		for _, l := range slices.Clone(k.order) {
			apply(l)
		}
	case "default":
		k.setConf(v6, name, confAddrGenMode, v)
	default:
		apply(k.byName[name])
	}
	return nil
}

func (k *Kernel) writeForwarding(name string, old, v int64) {
	k.setConf(v6, name, confForwarding, v)
	changed := (old != 0) != (v != 0)
	if name == "all" {
		dflt := k.confInt(v6, "default", confForwarding)
		k.setConf(v6, "default", confForwarding, v)
		if (dflt != 0) != (v != 0) {
			k.notifyNetconf(v6, "default", rtnl.NetconfForwarding)
		}
		for _, l := range slices.Clone(k.order) {
			if l.in6 != nil {
				was := k.confInt(v6, l.Name, confForwarding)
				k.setConf(v6, l.Name, confForwarding, v)
				k.forwardChange(l, was, v)
			}
		}
	}
	if l := k.byName[name]; l != nil {
		k.forwardChange(l, old, v)
	} else if changed { // of all or the default
		k.notifyNetconf(v6, name, rtnl.NetconfForwarding)
	}
}

// forwardChange is dev_forward_change.
func (k *Kernel) forwardChange(l *link, old, v int64) {
	if (old != 0) == (v != 0) {
		return
	}
	for _, a := range l.in6.addrs {
		if a.has(unix.IFA_F_TENTATIVE) {
			continue
		}
		if v != 0 {
			k.joinAnycast(a)
		} else {
			k.leaveAnycast(a)
		}
	}
	k.notifyNetconf(v6, l.Name, rtnl.NetconfForwarding)
}

func (k *Kernel) writeDisable(name string, old, v int64) {
	k.setConf(v6, name, confDisableIPv6, v)
	if name == "default" {
		return
	}
	if name == "all" {
		k.setConf(v6, "default", confDisableIPv6, v)
		for _, l := range slices.Clone(k.order) {
			if l.in6 != nil {
				was := k.confInt(v6, l.Name, confDisableIPv6)
				k.setConf(v6, l.Name, confDisableIPv6, v)
				k.disableChange(l, was, v)
			}
		}
		return
	}
	k.disableChange(k.byName[name], old, v)
}

// disableChange is dev_disable_change.
func (k *Kernel) disableChange(l *link, old, v int64) {
	switch {
	case (old != 0) == (v != 0):
	case v != 0:
		k.ifdown6(l, false)
	default:
		k.addrconfUp(evUp, l)
	}
}

func (k *Kernel) writeSecret(name, value string, invalid error) error {
	a, err := netip.ParseAddr(value)
	if err != nil || !a.Is6() {
		return invalid
	}
	k.conf[v6].secret[name] = a.StringExpanded()
	if name == "default" {
		return nil
	}
	if l := k.byName[name]; l != nil && l.in6 != nil {
		k.setConf(v6, name, confAddrGenMode, genStable)
	}
	return nil
}
