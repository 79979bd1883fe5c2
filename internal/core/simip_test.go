package core_test

import "net/netip"

// foreignIP is an address that no configuration of the simulation has, in
// subnets that some have.
func foreignIP(n int) netip.Addr {
	switch n % 3 {
	case 0:
		return netip.AddrFrom4([4]byte{192, 168, 1, byte(100 + n%100)})
	case 1:
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + n%100)})
	}
	return netip.AddrFrom4([4]byte{172, 16, byte(n), 1})
}
