// Package pair keeps the interfaces of a dataplane and their Linux companions
// in step. One Engine serves one dataplane: it hears what the mirrors of the
// companions' namespaces see and what the dataplane tells, and says what to
// write to either side, only the differences. It is pure: no goroutine, clock
// or I/O.
//
// Each attribute of a pair has one owner, whose value counts when both sides
// differ and nobody has just changed one:
//
//	attribute               owner          and the other side
//	carrier                 dataplane      the companion shows it; never written from Linux
//	admin state             Linux          taken from the dataplane at creation, and later changes (sync)
//	MTU                     Linux          likewise; a value that the phy refuses is put back in Linux
//	MAC                     Linux          likewise; not of sub-interfaces
//	addresses               Linux          likewise; IPv6 link-local ones go to the dataplane only, as /128
//	neighbours              Linux          never taken
//	VRF (table)             Linux          never taken
//	routes                  Linux          never taken (package fib)
//	no carrier              Linux          next hops without one are passed over where ignore_routes_with_linkdown says so
//	MPLS (input)            Linux          never taken; option mpls sets it in Linux, once for each change
//	multicast of the link   Linux          the companion hears all of it, as a link of Linux does
//	sub-interfaces          who made them  made on the other side, and go from there with their original (auto_subif)
//
// A change made on the dataplane is taken over only when it is heard of live:
// after a connection was lost Linux counts, because a dataplane that has been
// restarted has its defaults everywhere. What is an echo of an own operation is
// told by comparing with what was last told; there is no flag for it.
//
// A sub-interface keeps what was asked of it (intent) apart from what Linux
// allows: it is up only while its parent is, and its MTU is at most the
// parent's. When the parent comes back, or grows, it gets what was asked of it
// again, whatever Linux has made of it meanwhile.
//
// What lives here: decisions. What must not: sockets, encoding, routes.
package pair
