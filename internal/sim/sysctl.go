package sim

import (
	_ "embed"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the settings that the kernel itself reads here.
const (
	confPromoteSecondaries = "promote_secondaries"
	confIgnoreLinkdown     = "ignore_routes_with_linkdown"
	confForwarding         = "forwarding"
	confAddrGenMode        = "addr_gen_mode"
	confDisableIPv6        = "disable_ipv6"
	confOptimisticDAD      = "optimistic_dad"
	confAcceptDAD          = "accept_dad"
	confDADTransmits       = "dad_transmits"
	confKeepAddr           = "keep_addr_on_down"
	confMTU                = "mtu"
	confRetransMS          = "retrans_time_ms"
	confSecret             = "stable_secret"
)

// sysctlDefaults are the settings of a new link in a new namespace, as a
// kernel 6.18 shows them: "tree/name=value" a line.
//
//go:embed defaults.txt
var sysctlDefaults string

// conf is a directory of settings, copied when it is first written to.
type conf struct {
	m      map[string]int64
	shared bool
	// written are the files of IPv4 that do not follow the default any more: they
	// were written to, or those of the default were before the link was made.
	written map[string]bool
	own     bool // none of them follows: the link was given an address (ipv4_devconf_setall)
}

func (c *conf) set(name string, v int64) {
	if c.shared {
		c.m, c.shared = maps.Clone(c.m), false
	}
	c.m[name] = v
}

// confTrees are /proc/sys/net/ipvX/conf and neigh of one family.
type confTrees struct {
	conf   map[string]*conf
	neigh  map[string]*conf
	secret map[string]string // stable_secret, which can be unset
}

var defaultTrees = parseDefaults(sysctlDefaults)

func parseDefaults(text string) map[string]map[string]int64 {
	trees := map[string]map[string]int64{}
	for line := range strings.Lines(text) {
		path, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		at := strings.LastIndexByte(path, '/')
		v, err := strconv.ParseInt(value, 10, 64)
		if at < 0 || err != nil {
			panic(fmt.Sprintf("sim: default %q is malformed", line)) // of an embedded file
		}
		if trees[path[:at]] == nil {
			trees[path[:at]] = map[string]int64{}
		}
		trees[path[:at]][path[at+1:]] = v
	}
	return trees
}

func newConfTrees(family uint8) confTrees {
	dir := "ipv4"
	if family == unix.AF_INET6 {
		dir = "ipv6"
	}
	t := confTrees{
		conf:   map[string]*conf{"all": {m: maps.Clone(defaultTrees[dir+"/conf"])}, "default": {m: maps.Clone(defaultTrees[dir+"/conf"])}},
		neigh:  map[string]*conf{},
		secret: map[string]string{},
	}
	neigh := &conf{m: defaultTrees[dir+"/neigh"], shared: true}
	t.neigh[""] = neigh // what a new link gets; the path does not exist
	if family == unix.AF_INET6 {
		t.conf["all"].m[confAcceptDAD] = 0
	}
	return t
}

func (k *Kernel) addConf(f int, name string) {
	t := &k.conf[f]
	src := t.conf["default"]
	t.conf[name] = &conf{m: maps.Clone(src.m), written: maps.Clone(src.written)}
	t.neigh[name] = &conf{m: t.neigh[""].m, shared: true}
	if l := k.byName[name]; f == v6 {
		t.conf[name].m[confMTU] = int64(l.MTU)
		if l.isLoop() {
			t.conf[name].m[confAcceptDAD] = -1
			t.conf[name].m["use_tempaddr"] = -1
		}
	}
	k.notifyNetconf(f, name, allNetconf)
}

func (k *Kernel) dropConf(f int, l *link) {
	delete(k.conf[f].conf, l.Name)
	delete(k.conf[f].neigh, l.Name)
	delete(k.conf[f].secret, l.Name)
	k.netconfGone(f, l)
}

func (k *Kernel) renameConf(from, to string) {
	for f := range k.conf {
		t := &k.conf[f]
		for _, m := range []map[string]*conf{t.conf, t.neigh} {
			if c := m[from]; c != nil {
				delete(m, from)
				m[to] = c
			}
		}
		if s, known := t.secret[from]; known {
			delete(t.secret, from)
			t.secret[to] = s
		}
	}
}

func (k *Kernel) confInt(f int, name, key string) int64 {
	if c := k.conf[f].conf[name]; c != nil {
		return c.m[key]
	}
	return 0
}

// confAny is IN_DEV_ORCONF: set for all links or for this one.
func (k *Kernel) confAny(f int, name, key string) bool {
	return k.confInt(f, "all", key) != 0 || k.confInt(f, name, key) != 0
}

func (k *Kernel) neighConfInt(f int, name, key string) int64 {
	if c := k.conf[f].neigh[name]; c != nil {
		return c.m[key]
	}
	return 0
}

func (k *Kernel) setConf(f int, name, key string, v int64) {
	if c := k.conf[f].conf[name]; c != nil {
		c.set(key, v)
	}
}

const sysctlRoot = "/proc/sys/net/"

// sysctlPath takes apart /proc/sys/net/ipv4/conf/eth0/forwarding.
func (k *Kernel) sysctlPath(path string) (f int, neigh bool, name, key string, err error) {
	missing := fmt.Errorf("sysctl %s: %w", path, unix.ENOENT)
	parts := strings.Split(strings.TrimPrefix(path, sysctlRoot), "/")
	if !strings.HasPrefix(path, sysctlRoot) || len(parts) != 4 || parts[2] == "" {
		return 0, false, "", "", missing
	}
	switch parts[0] {
	case "ipv4":
	case "ipv6":
		f = v6
	default:
		return 0, false, "", "", missing
	}
	tree := k.conf[f].conf
	switch parts[1] {
	case "conf":
	case "neigh":
		neigh, tree = true, k.conf[f].neigh
	default:
		return 0, false, "", "", missing
	}
	c := tree[parts[2]]
	if c == nil {
		return 0, false, "", "", missing
	}
	if _, known := c.m[parts[3]]; !known && !(f == v6 && !neigh && parts[3] == confSecret) {
		return 0, false, "", "", missing
	}
	return f, neigh, parts[2], parts[3], nil
}

// ReadSysctl reads a file of /proc/sys/net/ipv4/conf, ipv6/conf, mpls/conf,
// ipv4/neigh or ipv6/neigh; the path is absolute. The value is without its newline. The
// error wraps ENOENT where there is no such file, as when the link is gone or
// its MTU is too small for IPv6.
func (k *Kernel) ReadSysctl(path string) (string, error) {
	if name, ok := k.mplsPath(path); ok {
		return strconv.FormatInt(k.mpls[name], 10), nil
	}
	f, neigh, name, key, err := k.sysctlPath(path)
	if err != nil {
		return "", err
	}
	if neigh {
		return strconv.FormatInt(k.conf[f].neigh[name].m[key], 10), nil
	}
	if key == confSecret && f == v6 {
		if s, known := k.conf[f].secret[name]; known {
			return s, nil
		}
		return "", fmt.Errorf("sysctl %s: %w", path, unix.EIO)
	}
	return strconv.FormatInt(k.conf[f].conf[name].m[key], 10), nil
}
