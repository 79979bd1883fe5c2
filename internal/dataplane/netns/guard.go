package netns

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// loadGuards loads the tables, the sets and the guards, if they are not there.
func (s *session) loadGuards() error {
	have, err := readChains(s.nft)
	if err != nil {
		return err
	}
	s.chains = have
	msgs := [][]byte{
		nftTableMsg(nfprotoInet), nftTableMsg(nfprotoNetdev),
		setMsg(nfprotoNetdev, set4, keyIPv4, 4), setMsg(nfprotoNetdev, set6, keyIPv6, 16),
	}
	for _, c := range guards() {
		msgs = append(msgs, s.differing(c)...)
	}
	return refused(s.nft.commit(msgs...))
}

// differing are the messages that make a chain what it should be; none when it
// is. The chain counts as written: on an error of the transaction forgetChains
// says that it is not.
func (s *session) differing(c chain) [][]byte {
	key := chainKey{c.family, c.name}
	if st, ok := s.chains[key]; ok && st.same(&c) {
		return nil
	}
	s.chains[key] = chainState{marks: slices.Repeat([]string{c.mark()}, len(c.rules))}
	return chainMsgs(&c)
}

// probe holds that the kernel has fwd and dup, by loading a table with them and
// deleting it, in one transaction.
func (s *session) probe() error {
	const name = "netbraid-probe"
	table := text(nil, unix.NFTA_TABLE_NAME, name)
	hook := nest(nil, unix.NFTA_CHAIN_HOOK, num(nil, unix.NFTA_HOOK_HOOKNUM, nfNetdevIngress), num(nil, unix.NFTA_HOOK_PRIORITY, 0), hookDevice("lo"))
	base := slices.Concat(text(text(nil, unix.NFTA_CHAIN_TABLE, name), unix.NFTA_CHAIN_NAME, "probe"), hook, text(nil, unix.NFTA_CHAIN_TYPE, "filter"))
	ruleMsg := func(r []byte) []byte {
		return message(nil, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, nfprotoNetdev,
			slices.Concat(text(text(nil, unix.NFTA_RULE_TABLE, name), unix.NFTA_RULE_CHAIN, "probe"), nest(nil, unix.NFTA_RULE_EXPRESSIONS, r)))
	}
	err := s.nft.commit(
		message(nil, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, nfprotoNetdev, table),
		message(nil, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, nfprotoNetdev, base),
		ruleMsg(dup(1)), ruleMsg(fwd(1)),
		message(nil, unix.NFT_MSG_DELTABLE, 0, nfprotoNetdev, table))
	if err != nil {
		return fmt.Errorf("the kernel refuses them (CONFIG_NFT_FWD_NETDEV and CONFIG_NFT_DUP_NETDEV are needed): %w: %w", dataplane.ErrUnsupported, err)
	}
	s.caps = dataplane.Caps{Local: true, Resolves: true, MaxPaths: maxPaths, Version: fmt.Sprintf("Linux %s namespace %s", release(), s.o.NetNS)}
	lacks := func(what, need string) { s.caps.Missing = append(s.caps.Missing, what+": the kernel has no "+need) }
	if s.caps.SubInterfaces = s.hasKind("vlan"); !s.caps.SubInterfaces {
		lacks("sub-interfaces", "802.1Q VLANs (module 8021q)")
	}
	if !s.hasKind("vrf") {
		lacks("tables", "VRF devices (module vrf)")
	}
	if s.caps.MPLS = s.hasMPLS(); !s.caps.MPLS {
		lacks("MPLS", "label table (module mpls_router, and mpls_iptunnel to push labels: modprobe them)")
	}
	return nil
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "?"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// hasKind asks for a link without what it needs: the kernel's answer tells
// whether it knows the kind.
func (s *session) hasKind(kind string) bool {
	r := rtnl.LinkRequest{Link: rtnl.Link{Kind: kind, Name: "netbraid-probe"}, Set: rtnl.LinkName}
	errs := s.conn.Execute(s.ctx, [][]byte{rtnl.AppendLink(nil, unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 0, &r)})
	return !errors.Is(errs[0], unix.EOPNOTSUPP)
}

func (s *session) hasMPLS() bool {
	return s.ns.Do(func() error { _, err := os.Stat(sysctlPath("mpls/platform_labels")); return err }) == nil
}

func sysctlPath(name string) string { return "/proc/sys/net/" + name }

// writeSysctl writes a setting below /proc/sys/net, unless it is so; for the
// thread's namespace.
func writeSysctl(name, value string) error {
	path := sysctlPath(name)
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0)
}

// Sysctls of the forwarding namespace: those for it as a whole, in their order,
// and those of every link but the companions' ends, which conf/default gives to
// new ones. See Options.
var (
	sysctlsWhole = [][2]string{
		{"ipv4/ip_forward", "1"},
		{"ipv6/conf/all/forwarding", "1"},
		{"ipv4/conf/all/arp_ignore", "8"}, // else namespace and companion both answer
		{"ipv4/conf/all/rp_filter", "0"},
		{"ipv4/conf/all/send_redirects", "0"},
		{"ipv4/conf/all/accept_redirects", "0"},
		{"ipv4/conf/all/promote_secondaries", "1"}, // a removed address takes no others along
	}
	sysctlsLink4 = [][2]string{
		{"rp_filter", "0"}, {"send_redirects", "0"}, {"accept_redirects", "0"}, {"forwarding", "1"},
	}
	sysctlsLink6 = [][2]string{
		{"accept_dad", "0"}, {"accept_ra", "0"}, {"autoconf", "0"}, {"accept_redirects", "0"},
		{"addr_gen_mode", "1"}, // link-local addresses are the companion's
	}
)

// setSysctls sets what is needed before anything is forwarded.
func (s *session) setSysctls() error {
	return s.ns.Do(func() error {
		for _, kv := range sysctlsWhole {
			if err := writeSysctl(kv[0], kv[1]); err != nil {
				return err
			}
		}
		devices, err := os.ReadDir(sysctlPath("ipv4/conf"))
		if err != nil {
			return err
		}
		for _, d := range devices {
			if name := d.Name(); name != "all" && name != "lo" {
				if err := linkSysctls(name); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// linkSysctls sets those of one link. One that is too narrow for IPv6 has none
// of it.
func linkSysctls(name string) error {
	for _, kv := range sysctlsLink4 {
		if err := writeSysctl("ipv4/conf/"+name+"/"+kv[0], kv[1]); err != nil {
			return err
		}
	}
	for _, kv := range sysctlsLink6 {
		if err := writeSysctl("ipv6/conf/"+name+"/"+kv[0], kv[1]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Drops reads how many packets to and from the forwarding namespace itself the
// guards have dropped. In stays at zero while every address of the companions
// is in the sets (LocalAdd).
func (d *Dataplane) Drops() (in, out uint64, err error) {
	type answer struct {
		chains map[chainKey]chainState
		err    error
	}
	ch := make(chan answer, 1)
	d.do(func() {
		if d.s == nil || d.s.isDown() {
			ch <- answer{err: errors.New("no connection to the forwarding namespace")}
			return
		}
		chains, err := readChains(d.s.nft)
		ch <- answer{chains, err}
	})
	select {
	case a := <-ch:
		return a.chains[chainKey{nfprotoInet, "input"}].packets, a.chains[chainKey{nfprotoInet, "output"}].packets, a.err
	case <-d.ctx.Done():
		return 0, 0, d.ctx.Err()
	}
}
