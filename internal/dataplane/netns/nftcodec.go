package netns

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"netbraid/rtnl/nlattr"
)

// The codec of nf_tables messages (linux/netfilter/nf_tables.h), as far as it
// is used here. Package google/nftables has no fwd expression.

var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// Numbers that x/sys does not have.
const (
	nfprotoInet   = 1
	nfprotoNetdev = 5

	nftaChainUserdata = 12 // NFTA_CHAIN_USERDATA
	nftaFwdSregDev    = 1  // NFTA_FWD_SREG_DEV
	nftaCounterPkts   = 2  // NFTA_COUNTER_PACKETS

	nfNetdevIngress = 0
	nfInetLocalIn   = 1
	nfInetForward   = 2
	nfInetLocalOut  = 3

	nfDrop, nfAccept = 0, 1
)

const nested = unix.NLA_F_NESTED

// attr appends an attribute.
func attr[T string | []byte](b []byte, typ uint16, v T) []byte {
	b = ne.AppendUint16(b, uint16(unix.SizeofNlAttr+len(v)))
	b = ne.AppendUint16(b, typ)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// text appends a string as C has it.
func text(b []byte, typ uint16, s string) []byte { return attr(b, typ, s+"\x00") }

// num appends a big endian number, which nearly all of nf_tables are.
func num(b []byte, typ uint16, v uint32) []byte { return attr(b, typ, be.AppendUint32(nil, v)) }

// nest appends a nested attribute of the parts.
func nest(b []byte, typ uint16, parts ...[]byte) []byte {
	var body []byte
	for _, p := range parts {
		body = append(body, p...)
	}
	return attr(b, typ|nested, body)
}

// message appends a message of nf_tables: header, struct nfgenmsg, attributes.
func message(b []byte, typ, flags uint16, family uint8, attrs []byte) []byte {
	return rawMessage(b, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, family, 0, attrs)
}

func rawMessage(b []byte, typ, flags uint16, family uint8, res uint16, attrs []byte) []byte {
	b = ne.AppendUint32(b, uint32(unix.SizeofNlMsghdr+4+len(attrs)))
	b = ne.AppendUint16(b, typ)
	b = ne.AppendUint16(b, flags|unix.NLM_F_REQUEST)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence number and port
	b = append(b, family, unix.NFNETLINK_V0)
	b = be.AppendUint16(b, res)
	return append(b, attrs...)
}

// expr is one expression of a rule, as an element of NFTA_RULE_EXPRESSIONS.
func expr(name string, attrs ...[]byte) []byte {
	return nest(nil, unix.NFTA_LIST_ELEM, text(nil, unix.NFTA_EXPR_NAME, name), nest(nil, unix.NFTA_EXPR_DATA, attrs...))
}

func meta(key uint32) []byte {
	return expr("meta", num(nil, unix.NFTA_META_KEY, key), num(nil, unix.NFTA_META_DREG, unix.NFT_REG_1))
}

func payload(base, offset, size uint32) []byte {
	return expr("payload", num(nil, unix.NFTA_PAYLOAD_DREG, unix.NFT_REG_1), num(nil, unix.NFTA_PAYLOAD_BASE, base),
		num(nil, unix.NFTA_PAYLOAD_OFFSET, offset), num(nil, unix.NFTA_PAYLOAD_LEN, size))
}

func compare(op uint32, value ...byte) []byte {
	return expr("cmp", num(nil, unix.NFTA_CMP_SREG, unix.NFT_REG_1), num(nil, unix.NFTA_CMP_OP, op),
		nest(nil, unix.NFTA_CMP_DATA, attr(nil, unix.NFTA_DATA_VALUE, value)))
}

func equal(value ...byte) []byte { return compare(unix.NFT_CMP_EQ, value...) }

func masked(mask ...byte) []byte {
	return expr("bitwise", num(nil, unix.NFTA_BITWISE_SREG, unix.NFT_REG_1), num(nil, unix.NFTA_BITWISE_DREG, unix.NFT_REG_1),
		num(nil, unix.NFTA_BITWISE_LEN, uint32(len(mask))), nest(nil, unix.NFTA_BITWISE_MASK, attr(nil, unix.NFTA_DATA_VALUE, mask)),
		nest(nil, unix.NFTA_BITWISE_XOR, attr(nil, unix.NFTA_DATA_VALUE, make([]byte, len(mask)))))
}

func lookup(set string) []byte {
	return expr("lookup", text(nil, unix.NFTA_LOOKUP_SET, set), num(nil, unix.NFTA_LOOKUP_SREG, unix.NFT_REG_1))
}

func verdict(code uint32) []byte {
	return expr("immediate", num(nil, unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT),
		nest(nil, unix.NFTA_IMMEDIATE_DATA, nest(nil, unix.NFTA_DATA_VERDICT, num(nil, unix.NFTA_VERDICT_CODE, code))))
}

func counter() []byte { return expr("counter") }

// device puts an ifindex where fwd and dup look for it.
func device(ifindex uint32) []byte {
	return expr("immediate", num(nil, unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_1),
		nest(nil, unix.NFTA_IMMEDIATE_DATA, attr(nil, unix.NFTA_DATA_VALUE, ne.AppendUint32(nil, ifindex))))
}

// fwd sends the frame out of a device and ends the chain: the plain form, which
// does not route.
func fwd(ifindex uint32) []byte {
	return append(device(ifindex), expr("fwd", num(nil, nftaFwdSregDev, unix.NFT_REG_1))...)
}

// dup sends a copy.
func dup(ifindex uint32) []byte {
	return append(device(ifindex), expr("dup", num(nil, unix.NFTA_DUP_SREG_DEV, unix.NFT_REG_1))...)
}

// comment is NFTA_RULE_USERDATA as nft(8) writes and shows it.
func comment(s string) []byte {
	b := []byte{0, uint8(len(s) + 1)} // NFTNL_UDATA_RULE_COMMENT
	return append(append(b, s...), 0)
}

// eachAttr calls f with every attribute, nesting bits taken off.
func eachAttr(b []byte, f func(typ uint16, v []byte)) error {
	var c nlattr.Cursor
	for c.Read(b); c.Next(); {
		f(c.Type, c.Val)
	}
	return c.Err
}

// find is the value of the first attribute along the path of nested ones; nil
// when there is none.
func find(b []byte, path ...uint16) (found []byte) {
	for i, want := range path {
		found = nil
		err := eachAttr(b, func(typ uint16, v []byte) {
			if typ == want && found == nil {
				found = v
			}
		})
		if err != nil || found == nil {
			return nil
		}
		if i < len(path)-1 {
			b = found
		}
	}
	return found
}

// str is an attribute as a string without the zero at its end.
func str(v []byte) string {
	for i, c := range v {
		if c == 0 {
			return string(v[:i])
		}
	}
	return string(v)
}

// nftChain is what is read back of a chain.
type nftChain struct {
	table, name, mark string
}

func decodeChain(attrs []byte) nftChain {
	return nftChain{str(find(attrs, unix.NFTA_CHAIN_TABLE)), str(find(attrs, unix.NFTA_CHAIN_NAME)), string(find(attrs, nftaChainUserdata))}
}

// nftRule is what is read back of a rule: the comment that says which it is,
// and the packets of its counter.
type nftRule struct {
	table, chain, mark string
	packets            uint64
}

func decodeRule(attrs []byte) nftRule {
	r := nftRule{table: str(find(attrs, unix.NFTA_RULE_TABLE)), chain: str(find(attrs, unix.NFTA_RULE_CHAIN))}
	if u := find(attrs, unix.NFTA_RULE_USERDATA); len(u) >= 2 && u[0] == 0 && int(u[1]) <= len(u)-2 {
		r.mark = str(u[2 : 2+int(u[1])])
	}
	_ = eachAttr(find(attrs, unix.NFTA_RULE_EXPRESSIONS), func(_ uint16, e []byte) {
		if str(find(e, unix.NFTA_EXPR_NAME)) == "counter" {
			if n := find(e, unix.NFTA_EXPR_DATA, nftaCounterPkts); len(n) == 8 {
				r.packets = be.Uint64(n)
			}
		}
	})
	return r
}

// decodeElems reads the keys of a message of set elements.
func decodeElems(attrs []byte) (keys [][]byte, err error) {
	err = eachAttr(find(attrs, unix.NFTA_SET_ELEM_LIST_ELEMENTS), func(_ uint16, e []byte) {
		if k := find(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE); k != nil {
			keys = append(keys, k)
		}
	})
	return keys, err
}
