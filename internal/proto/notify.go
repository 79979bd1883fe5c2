package proto

import (
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/rtnl"
)

// The actions of notify_proto, as netifd numbers them.
const (
	actionUpdate = iota
	actionRunCommand
	actionKillCommand
	actionError
	actionBlockRestart
	actionSetAvailable
	actionHostDependency
	actionSetupFailed
)

// Bounds of a message; netifd's own for commands, environments and errors.
const (
	maxArgs   = 63
	maxEnv    = 31
	maxErrors = 15
	maxItems  = 4096 // of one list
)

// Update is what action 0 says.
type Update struct {
	LinkUp bool
	Keep   bool // what was told before and is not told now stays
	Offer  *Offer
	// Left are the entries that were left out, each with its place and what is
	// wrong with it.
	Left []string
}

// update reads one message; it notes what it leaves out.
type update struct {
	now  time.Time
	out  *Update
	o    *Offer
	path string
}

// ParseUpdate reads the message of action 0 as of the time now. An error means
// that the message as a whole says nothing; a wrong entry of a list is left
// out, as netifd does, and named in Left.
func ParseUpdate(fields []Field, now time.Time) (*Update, error) {
	u := &update{now: now, o: &Offer{}}
	u.out = &Update{Offer: u.o}
	up, there := lookup(fields, "link-up")
	if !there {
		return nil, fmt.Errorf("link-up: missing")
	}
	var ok bool
	if u.out.LinkUp, ok = boolOf(up); !ok {
		return nil, fmt.Errorf("link-up: %v is no bool", up)
	}
	for _, f := range fields {
		if err := u.field(f); err != nil {
			return nil, err
		}
	}
	if t, ok := get[[]Field](fields, "tunnel"); ok && len(t) > 0 {
		t, err := ParseTunnel(t)
		if err != nil {
			return nil, fmt.Errorf("tunnel: %w", err)
		}
		u.o.Tunnel = t
		if u.o.L3Device == "" {
			return nil, fmt.Errorf("ifname: missing, and a tunnel needs a name")
		}
	}
	sortOffer(u.o)
	return u.out, nil
}

// field reads one field of the message; fields that are not known say nothing.
func (u *update) field(f Field) error {
	u.path = f.Name
	switch f.Name {
	case "ifname":
		s, ok := f.Value.(string)
		if !ok || !config.ValidName(s) {
			return fmt.Errorf("ifname: %q is not a name that a link can have", fmt.Sprint(f.Value))
		}
		u.o.L3Device = s
	case "address-external":
		return u.flag(f, &u.o.AddressExternal)
	case "keep":
		return u.flag(f, &u.out.Keep)
	case "ipaddr":
		return u.each(f, func(v any) error { return u.address(v, false) })
	case "ip6addr":
		return u.each(f, func(v any) error { return u.address(v, true) })
	case "ip6prefix":
		return u.each(f, u.prefix)
	case "gateway":
		return u.gateway(f, false, &u.o.Gateway4)
	case "ip6gw":
		return u.gateway(f, true, &u.o.Gateway6)
	case "routes":
		return u.each(f, func(v any) error { return u.route(v, false) })
	case "routes6":
		return u.each(f, func(v any) error { return u.route(v, true) })
	case "neighbor":
		return u.each(f, func(v any) error { return u.neighbor(v, false) })
	case "neighbor6":
		return u.each(f, func(v any) error { return u.neighbor(v, true) })
	case "dns":
		return u.each(f, u.dns)
	case "dns_search":
		return u.each(f, u.dnsSearch)
	case "data":
		t, ok := f.Value.([]Field)
		if !ok {
			return fmt.Errorf("data: not a table")
		}
		u.o.Data = mergeFields(nil, t)
	}
	return nil
}

func (u *update) flag(f Field, dst *bool) error {
	on, ok := boolOf(f.Value)
	if !ok {
		return fmt.Errorf("%s: %v is no bool", f.Name, f.Value)
	}
	*dst = on
	return nil
}

// each reads the entries of a list and leaves out those that are wrong.
func (u *update) each(f Field, read func(v any) error) error {
	l, ok := f.Value.([]any)
	if !ok {
		return fmt.Errorf("%s: not a list", f.Name)
	}
	if len(l) > maxItems {
		return fmt.Errorf("%s: %d entries, more than %d", f.Name, len(l), maxItems)
	}
	for i, v := range l {
		if err := read(v); err != nil {
			u.out.Left = append(u.out.Left, fmt.Sprintf("%s[%d]: %v", f.Name, i, err))
		}
	}
	return nil
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// prefixOf reads address and mask of a table, or both in one text.
func prefixOf(t []Field, name, maskName string, v6 bool) (netip.Prefix, error) {
	s, ok := get[string](t, name)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%s: missing", name)
	}
	bits := 32
	if v6 {
		bits = 128
	}
	if m, there := lookup(t, maskName); there {
		text := fmt.Sprint(m) // a number does as well
		if bits, ok = config.ParseMask(text, v6); !ok {
			return netip.Prefix{}, fmt.Errorf("%s: %q is not a mask", maskName, text)
		}
	}
	p, ok := config.ParsePrefix(s, v6, bits)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("%s: %q is not an %s address", name, s, familyName(v6))
	}
	return p, nil
}

// until reads a lifetime in seconds as the time at which it ends; zero when
// there is none, or it is infinite (RFC 4861: 0xffffffff).
func (u *update) until(t []Field, name string) (end time.Time, seconds int64, err error) {
	v, there := lookup(t, name)
	if !there {
		return end, math.MaxUint32, nil
	}
	n, ok := v.(int64)
	if s, text := v.(string); text {
		var perr error
		n, perr = strconv.ParseInt(s, 10, 64)
		ok = perr == nil
	}
	if n == -1 || n >= math.MaxUint32 {
		return end, math.MaxUint32, nil
	}
	if !ok || n < 0 {
		return end, 0, fmt.Errorf("%s: %v is not a lifetime in seconds", name, v)
	}
	return u.now.Add(time.Duration(n) * time.Second), n, nil
}

func (u *update) address(v any, v6 bool) error {
	t, ok := v.([]Field)
	if s, text := v.(string); text {
		t, ok = []Field{{"ipaddr", s}}, true
	}
	if !ok {
		return fmt.Errorf("not a table")
	}
	p, err := prefixOf(t, "ipaddr", "mask", v6)
	if err != nil {
		return err
	}
	if !config.Usable(p.Addr()) {
		return fmt.Errorf("ipaddr: %s is not an address that a link can have", p.Addr())
	}
	a := config.StaticAddr{Prefix: p}
	if !v6 {
		if err := address4(&a, t); err != nil {
			return err
		}
	} else if err := u.address6(&a, t); err != nil {
		return err
	}
	if keyIndex(u.o.Addrs, a, addrKey) >= 0 {
		return fmt.Errorf("ipaddr: %s stands there twice", p.Addr())
	}
	u.o.Addrs = append(u.o.Addrs, a)
	return nil
}

func address4(a *config.StaticAddr, t []Field) error {
	for _, x := range []struct {
		name string
		dst  *netip.Addr
	}{{"broadcast", &a.Broadcast}, {"ptp", &a.Peer}} {
		s, ok := get[string](t, x.name)
		if !ok || s == "" {
			continue
		}
		if *x.dst, ok = config.ParseAddr(s, false); !ok {
			return fmt.Errorf("%s: %q is not an IPv4 address", x.name, s)
		}
	}
	if !a.Broadcast.IsValid() && !a.Peer.IsValid() {
		a.Broadcast = config.Broadcast(a.Prefix)
	}
	return nil
}

func (u *update) address6(a *config.StaticAddr, t []Field) (err error) {
	var preferred, valid int64
	if a.PreferredUntil, preferred, err = u.until(t, "preferred"); err != nil {
		return err
	}
	if a.ValidUntil, valid, err = u.until(t, "valid"); err != nil {
		return err
	}
	if valid == 0 {
		return fmt.Errorf("valid: 0: the address is over")
	}
	if preferred > valid { // the kernel refuses that (RFC 4862, 5.5.3)
		a.PreferredUntil = a.ValidUntil
	}
	a.Deprecated = preferred == 0
	if v, there := lookup(t, "offlink"); there {
		a.OffLink, _ = boolOf(v)
	}
	a.Class, _ = get[string](t, "class")
	return nil
}

// prefix reads a delegated prefix. The library of OpenWrt writes the two
// lifetimes of its three-argument proto_add_ipv6_prefix the wrong way round; a
// preferred lifetime above the valid one is never legal (RFC 4862, 5.5.3), so
// that they can be told apart, and are put right.
func (u *update) prefix(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("not a string")
	}
	part := strings.Split(s, ",")
	if len(part) > 2 {
		preferred, err1 := strconv.ParseUint(part[1], 10, 32)
		valid, err2 := strconv.ParseUint(part[2], 10, 32)
		if err1 == nil && err2 == nil && preferred > valid {
			part[1], part[2] = part[2], part[1]
		}
	}
	p, ok := config.ParsePrefix6(strings.Join(part, ","))
	if !ok {
		return fmt.Errorf("%q is not a prefix (address/length[,preferred[,valid[,excluded=…][,class=…]]])", s)
	}
	if p.Valid == 0 {
		return fmt.Errorf("%q: the prefix is over", s)
	}
	if p.Preferred > p.Valid {
		p.Preferred = p.Valid
	}
	if p.Preferred != rtnl.LifetimeForever {
		p.PreferredUntil = u.now.Add(time.Duration(p.Preferred) * time.Second)
	}
	if p.Valid != rtnl.LifetimeForever {
		p.ValidUntil = u.now.Add(time.Duration(p.Valid) * time.Second)
	}
	if keyIndex(u.o.Prefixes, p, prefixKey) >= 0 {
		return fmt.Errorf("%s stands there twice", p.Prefix)
	}
	u.o.Prefixes = append(u.o.Prefixes, p)
	return nil
}

func (u *update) gateway(f Field, v6 bool, dst *netip.Addr) error {
	s, _ := f.Value.(string)
	a, ok := config.ParseAddr(s, v6)
	if !ok {
		u.out.Left = append(u.out.Left, fmt.Sprintf("%s: %q is not an %s address", f.Name, s, familyName(v6)))
		return nil
	}
	*dst = a
	return nil
}

func (u *update) route(v any, v6 bool) (err error) {
	t, ok := v.([]Field)
	if !ok {
		return fmt.Errorf("not a table")
	}
	r := config.Route{Family: unix.AF_INET}
	if v6 {
		r.Family = unix.AF_INET6
	}
	if r.Target, err = prefixOf(t, "target", "netmask", v6); err != nil {
		return err
	}
	r.Target = r.Target.Masked()
	if s, ok := get[string](t, "gateway"); ok && s != "" {
		if r.Gateway, ok = config.ParseAddr(s, v6); !ok {
			return fmt.Errorf("gateway: %q is not an %s address", s, familyName(v6))
		}
		if r.Gateway.IsUnspecified() {
			r.Gateway = netip.Addr{}
		}
	}
	if s, ok := get[string](t, "source"); ok && s != "" {
		bits := 32
		if v6 {
			bits = 128
		}
		if r.Source, ok = config.ParsePrefix(s, v6, bits); !ok || !v6 && r.Source.Bits() != 32 {
			return fmt.Errorf("source: %q is not a source of a route", s)
		}
		r.Source = r.Source.Masked()
	}
	if err := u.routeNumbers(&r, t); err != nil {
		return err
	}
	if i := keyIndex(u.o.Routes, r, routeKey); i >= 0 {
		return fmt.Errorf("target: %s stands there twice", r.Target)
	}
	u.o.Routes = append(u.o.Routes, r)
	return nil
}

func (u *update) routeNumbers(r *config.Route, t []Field) (err error) {
	if n, there := lookup(t, "metric"); there {
		v, ok := n.(int64)
		if !ok || v < 0 || v > math.MaxUint32 {
			return fmt.Errorf("metric: %v is not a metric", n)
		}
		r.Metric, r.MetricSet = uint32(v), true
	}
	if v, ok := get[int64](t, "mtu"); ok {
		if v < 68 || v > 65535 {
			return fmt.Errorf("mtu: %d is out of range", v)
		}
		r.MTU = uint32(v)
	}
	if v, there := lookup(t, "table"); there {
		var ok bool
		if r.Table, ok = config.ParseTable(fmt.Sprint(v)); !ok {
			return fmt.Errorf("table: %q is not a routing table", fmt.Sprint(v))
		}
		r.TableSet = true
	}
	if v, there := lookup(t, "onlink"); there {
		r.OnLink, _ = boolOf(v)
	}
	var seconds int64
	if r.ValidUntil, seconds, err = u.until(t, "valid"); err != nil {
		return err
	}
	if seconds == 0 {
		return fmt.Errorf("valid: 0: the route is over")
	}
	return nil
}

func (u *update) neighbor(v any, v6 bool) error {
	t, ok := v.([]Field)
	if !ok {
		return fmt.Errorf("not a table")
	}
	s, _ := get[string](t, "ipaddr")
	n := Neighbor{}
	if n.Addr, ok = config.ParseAddr(s, v6); !ok {
		return fmt.Errorf("ipaddr: %q is not an %s address", s, familyName(v6))
	}
	for _, x := range []struct {
		name string
		dst  *bool
	}{{"proxy", &n.Proxy}, {"router", &n.Router}} {
		if v, there := lookup(t, x.name); there {
			if *x.dst, ok = boolOf(v); !ok {
				return fmt.Errorf("%s: %v is no bool", x.name, v)
			}
		}
	}
	mac, has := get[string](t, "mac")
	if has {
		var err error
		if n.MAC, err = rtnl.ParseHWAddr(mac); err != nil {
			return fmt.Errorf("mac: %q is not a link-layer address", mac)
		}
	} else if !n.Proxy {
		return fmt.Errorf("mac: missing")
	}
	if keyIndex(u.o.Neighbors, n, neighborKey) >= 0 {
		return fmt.Errorf("ipaddr: %s stands there twice", n.Addr)
	}
	u.o.Neighbors = append(u.o.Neighbors, n)
	return nil
}

func (u *update) dns(v any) error {
	s, _ := v.(string)
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
		return fmt.Errorf("%q is not the address of a DNS server", s)
	}
	u.o.DNS = append(u.o.DNS, a)
	return nil
}

func (u *update) dnsSearch(v any) error {
	s, _ := v.(string)
	if s == "" || len(s) > 253 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' || r == ';' }) {
		return fmt.Errorf("%q is not a domain", s)
	}
	u.o.DNSSearch = append(u.o.DNSSearch, s)
	return nil
}
