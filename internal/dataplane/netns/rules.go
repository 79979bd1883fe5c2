package netns

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"

	"golang.org/x/sys/unix"
)

// The rule sets. Frames that a phy receives go to its companion when they are
// for the router itself, and to the namespace's own forwarding when they are
// for somebody else; frames that the companion sends go out of the phy.

// Names in nf_tables.
const (
	nftTable   = "netbraid" // in families netdev (frames) and inet (guards)
	set4, set6 = "l4", "l6" // addresses that are the router's own
	setHosts   = "hosts"    // companions, in the guard of their namespace
	markOwner  = "netbraid "
)

// chain is one chain as it should be.
type chain struct {
	family uint8
	name   string
	dev    string // the device whose frames a netdev chain gets
	hook   uint32 // of an inet chain
	rules  [][]byte
}

// mark identifies a rule: its chain's content, so that equal sets are not
// written again.
func (c *chain) mark() string {
	h := fnv.New64a()
	for _, r := range c.rules {
		h.Write(r)
	}
	return markOwner + hex.EncodeToString(h.Sum(nil))
}

// rule joins expressions.
func rule(exprs ...[]byte) []byte { return bytes.Join(exprs, nil) }

// EtherTypes, and offsets within headers.
const (
	typeIPv4, typeIPv6, typeARP = 0x0800, 0x86dd, 0x0806
	typeMPLS, typeMPLSMulticast = 0x8847, 0x8848

	protoICMP, protoICMPv6 = 1, 58

	icmpUnreachable, icmpTimeExceeded, icmpParameter = 3, 11, 12
	icmp6LastError                                   = 127
	icmp6NeighbourSolicit, icmp6NeighbourAdvert      = 135, 136

	offTag             = 12 // of the tag in a frame: its type and what it says
	offDst4, offDst6   = 16, 24
	tagTypeQ, tagTypeA = 0x8100, 0x88a8
)

func etherType(op uint32, t uint16) []byte {
	return rule(meta(unix.NFT_META_PROTOCOL), compare(op, be.AppendUint16(nil, t)...))
}

func isType(t uint16) []byte { return etherType(unix.NFT_CMP_EQ, t) }

// phyPort is what the rules of a phy depend on.
type phyPort struct {
	index, port uint32 // phy and the dataplane's end of its companion
	name        string // of the device whose frames these are
	mpls        bool   // labelled packets are forwarded, not the companion's
	// stacked are the outer tags (type, and identifier with 12 bits) whose inner
	// frames a link of its own gets.
	stacked []uint32
}

// ingress are the rules for frames that a phy (or the link of an outer tag)
// receives.
func ingress(p phyPort) [][]byte {
	toHost := fwd(p.port)
	icmp6 := rule(isType(typeIPv6), meta(unix.NFT_META_L4PROTO), equal(protoICMPv6))
	list := [][]byte{
		rule(isType(typeARP), dup(p.port), verdict(nfAccept)),
	}
	for _, tag := range p.stacked {
		list = append(list, rule(payload(unix.NFT_PAYLOAD_LL_HEADER, offTag, 4), masked(0xff, 0xff, 0x0f, 0xff), equal(be.AppendUint32(nil, tag)...), verdict(nfAccept)))
	}
	if p.mpls {
		list = append(list, rule(isType(typeMPLS), verdict(nfAccept)), rule(isType(typeMPLSMulticast), verdict(nfAccept)))
	}
	return append(list,
		rule(meta(unix.NFT_META_PROTOCOL), compare(unix.NFT_CMP_NEQ, be.AppendUint16(nil, typeIPv4)...), compare(unix.NFT_CMP_NEQ, be.AppendUint16(nil, typeIPv6)...), toHost),
		rule(icmp6, payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1), equal(icmp6NeighbourAdvert), dup(p.port), verdict(nfAccept)),
		rule(payload(unix.NFT_PAYLOAD_LL_HEADER, 0, 1), masked(1), equal(1), toHost), // broadcast and multicast
		rule(isType(typeIPv4), payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offDst4, 4), lookup(set4), toHost),
		rule(isType(typeIPv6), payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offDst6, 16), lookup(set6), toHost),
		rule(isType(typeIPv6), payload(unix.NFT_PAYLOAD_NETWORK_HEADER, offDst6, 2), masked(0xff, 0xc0), equal(0xfe, 0x80), toHost),
	)
}

// portChains are the chains of a pair: what the phy receives, and what its
// companion sends.
func portChains(p phyPort, portName string) []chain {
	return []chain{
		{family: nfprotoNetdev, name: fmt.Sprintf("phy%d", p.index), dev: p.name, rules: ingress(p)},
		{family: nfprotoNetdev, name: fmt.Sprintf("port%d", p.port), dev: portName, rules: [][]byte{fwd(p.index)}},
	}
}

// stackedChain is that of the link of an outer tag: what is inside goes to the
// link with the same tag on the companion's side.
func stackedChain(index uint32, name string, port uint32) chain {
	return chain{family: nfprotoNetdev, name: fmt.Sprintf("phy%d", index), dev: name, rules: ingress(phyPort{port: port})}
}

// guards keep the namespace from answering for itself what its companions
// answer. The counter of the input chain stays at zero while the sets of local
// addresses are complete.
func guards() []chain {
	input := [][]byte{
		rule(meta(unix.NFT_META_L4PROTO), equal(protoICMPv6), payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1), equal(icmp6NeighbourAdvert), verdict(nfAccept)),
		rule(counter(), verdict(nfDrop)),
	}
	var output [][]byte
	allow := func(proto byte, match []byte) {
		output = append(output, rule(meta(unix.NFT_META_L4PROTO), equal(proto), payload(unix.NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1), match, verdict(nfAccept)))
	}
	for _, t := range []byte{icmpUnreachable, icmpTimeExceeded, icmpParameter} {
		allow(protoICMP, equal(t))
	}
	allow(protoICMPv6, compare(unix.NFT_CMP_LTE, icmp6LastError))
	allow(protoICMPv6, equal(icmp6NeighbourSolicit))
	output = append(output, rule(counter(), verdict(nfDrop)))
	return []chain{
		{family: nfprotoInet, name: "input", hook: nfInetLocalIn, rules: input},
		{family: nfprotoInet, name: "output", hook: nfInetLocalOut, rules: output},
	}
}

// hostGuard keeps the companions' namespace from forwarding what a companion
// receives: that is the dataplane's.
func hostGuard() chain {
	return chain{family: nfprotoInet, name: "forward", hook: nfInetForward,
		rules: [][]byte{rule(meta(unix.NFT_META_IIFNAME), lookup(setHosts), counter(), verdict(nfDrop))}}
}

// nftTableMsg adds the table of a family when it is not there.
func nftTableMsg(family uint8) []byte {
	return message(nil, unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, family, text(nil, unix.NFTA_TABLE_NAME, nftTable))
}

// Types of keys as nft(8) names them.
const (
	keyIPv4, keyIPv6, keyIfname = 7, 8, 41
)

func setMsg(family uint8, name string, keyType, keyLen uint32) []byte {
	a := text(nil, unix.NFTA_SET_TABLE, nftTable)
	a = text(a, unix.NFTA_SET_NAME, name)
	a = num(a, unix.NFTA_SET_FLAGS, 0)
	a = num(a, unix.NFTA_SET_KEY_TYPE, keyType)
	a = num(a, unix.NFTA_SET_KEY_LEN, keyLen)
	a = num(a, unix.NFTA_SET_ID, keyType)
	return message(nil, unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, family, a)
}

// maxElems is how many elements go into one message: its list has a length of
// 16 bits.
const maxElems = 1000

// elemMsgs adds or removes elements of a set.
func elemMsgs(typ uint16, family uint8, set string, keys [][]byte) (msgs [][]byte) {
	for part := range slices.Chunk(keys, maxElems) {
		var list []byte
		for _, k := range part {
			list = nest(list, unix.NFTA_LIST_ELEM, nest(nil, unix.NFTA_SET_ELEM_KEY, attr(nil, unix.NFTA_DATA_VALUE, k)))
		}
		a := text(nil, unix.NFTA_SET_ELEM_LIST_TABLE, nftTable)
		a = text(a, unix.NFTA_SET_ELEM_LIST_SET, set)
		a = nest(a, unix.NFTA_SET_ELEM_LIST_ELEMENTS, list)
		flags := uint16(0)
		if typ == unix.NFT_MSG_NEWSETELEM {
			flags = unix.NLM_F_CREATE
		}
		msgs = append(msgs, message(nil, typ, flags, family, a))
	}
	return msgs
}

// chainName is what addresses a chain.
func chainName(name string) []byte {
	return text(text(nil, unix.NFTA_CHAIN_TABLE, nftTable), unix.NFTA_CHAIN_NAME, name)
}

// chainMsgs make a chain what it should be, within a transaction: it is there,
// and has these rules and no others.
func chainMsgs(c *chain) [][]byte {
	hook := nest(nil, unix.NFTA_CHAIN_HOOK, num(nil, unix.NFTA_HOOK_HOOKNUM, c.hook), num(nil, unix.NFTA_HOOK_PRIORITY, 0), hookDevice(c.dev))
	a := append(chainName(c.name), hook...)
	a = text(num(a, unix.NFTA_CHAIN_POLICY, nfAccept), unix.NFTA_CHAIN_TYPE, "filter")
	ruleOf := text(text(nil, unix.NFTA_RULE_TABLE, nftTable), unix.NFTA_RULE_CHAIN, c.name)
	msgs := [][]byte{
		message(nil, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, c.family, a),
		message(nil, unix.NFT_MSG_DELRULE, 0, c.family, ruleOf), // all of them
	}
	mark := attr(nil, unix.NFTA_RULE_USERDATA, comment(c.mark()))
	for _, r := range c.rules {
		a := append(slices.Clone(ruleOf), nest(nil, unix.NFTA_RULE_EXPRESSIONS, r)...)
		msgs = append(msgs, message(nil, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, c.family, append(a, mark...)))
	}
	return msgs
}

func hookDevice(dev string) []byte {
	if dev == "" {
		return nil
	}
	return text(nil, unix.NFTA_HOOK_DEV, dev)
}

// have is what the kernel has of chains: how many rules of each mark, by family
// and name.
type chainKey struct {
	family uint8
	name   string
}

type chainState struct {
	marks   []string // of its rules, in order
	packets uint64   // of the last rule with a counter
}

// same tells whether a chain is what it should be.
func (s chainState) same(c *chain) bool {
	if len(s.marks) != len(c.rules) {
		return false
	}
	mark := c.mark()
	return !slices.ContainsFunc(s.marks, func(m string) bool { return m != mark })
}

// readChains reads the chains of the tables of ours in a namespace.
func readChains(c *nftConn) (map[chainKey]chainState, error) {
	all := map[chainKey]chainState{}
	for _, family := range []uint8{nfprotoInet, nfprotoNetdev} {
		err := c.dump(unix.NFT_MSG_GETCHAIN, family, nil, func(a []byte) {
			if ch := decodeChain(a); ch.table == nftTable {
				all[chainKey{family, ch.name}] = chainState{}
			}
		})
		if err == nil {
			err = c.dump(unix.NFT_MSG_GETRULE, family, text(nil, unix.NFTA_RULE_TABLE, nftTable), func(a []byte) {
				r := decodeRule(a)
				key := chainKey{family, r.chain}
				if s, ok := all[key]; ok && r.table == nftTable {
					s.marks = append(s.marks, r.mark)
					s.packets = max(s.packets, r.packets)
					all[key] = s
				}
			})
		}
		if err != nil {
			return nil, fmt.Errorf("read the rules of table %s: %w", nftTable, err)
		}
	}
	return all, nil
}
