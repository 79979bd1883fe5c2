package conformance

import (
	"testing"

	"netbraid/internal/dataplane"
	"netbraid/rtnl"
)

// World is a dataplane that forwards (or plays it), with hands that reach into
// it from outside. Each case gets a fresh one without interfaces, companions
// and routes. The hooks fail the test themselves when they cannot do what they
// should; those that may be nil are said to be.
type World struct {
	// New makes a client of the dataplane, not connected yet. It is called again
	// for a second client, after the first was closed: a daemon that starts anew.
	New func(deliver func(dataplane.Event)) dataplane.Dataplane

	// AddPhy makes an Ethernet interface with carrier, MTU 1500, down, without
	// addresses.
	AddPhy func(name string)
	// DelPhy removes it, from outside. Nil: phys do not go away.
	DelPhy func(name string)
	// SetCarrier plugs and unplugs the wire of a phy. Nil: cannot.
	SetCarrier func(name string, on bool)

	// NetNS is the file of the namespace where companions go; "" for the one of
	// the daemon.
	NetNS string
	// Host looks at a companion in that namespace. Nil: companions cannot be seen.
	Host func(name string) (Host, bool)
	// HostUp takes a companion up or down, as its namespace's owner. Nil: cannot.
	HostUp func(name string, up bool)
	// TakeName makes a link of another origin in that namespace. Nil: cannot.
	TakeName func(name string)

	// Outside does what an operation says, but as somebody else would: SetUp,
	// SetMTU, SetMAC, AddrAdd, AddrDel, RouteSet (under another source), RouteDel
	// (of ours). An error skips the case, with the error as the reason.
	Outside func(op *dataplane.Op) error

	// Restart ends the dataplane under the client's hands and starts it again.
	// With keep what was written is still there, without nothing but the phys.
	// Nil: cannot; the bool of either is what CanRestart says.
	Restart    func(keep bool)
	CanRestart func(keep bool) bool // nil: both

	// Silent are kinds of outside changes that this dataplane does not tell
	// (VPP says nothing of addresses and routes that others change), each with
	// the reason.
	Silent map[dataplane.OpKind]string
	// Skip are cases that cannot be run in this world, by name, each with the
	// reason.
	Skip map[string]string
}

// Host is a companion as its namespace shows it.
type Host struct {
	Index   uint32
	MTU     uint32
	MAC     rtnl.HWAddr
	Up      bool // administratively
	Carrier bool // meaningful only while Up
	VLAN    uint16
}

// Run runs every case of the contract; world is called once for each.
func Run(t *testing.T, world func(t *testing.T) *World) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := world(t)
			if why := w.Skip[c.name]; why != "" {
				t.Skip(why)
			}
			b := newClient(t, w)
			c.run(b)
		})
	}
}

// testCase is one sentence, or a few that belong together, of the contract.
type testCase struct {
	name string
	run  func(*client)
}

var cases = []testCase{
	{"Connect", testConnect},
	{"ConnectAgain", testConnectAgain},
	{"Close", testClose},
	{"EmptyDumps", testEmptyDumps},
	{"Interfaces", testInterfaces},
	{"InterfaceComesAndGoes", testInterfaceComesAndGoes},
	{"AdminState", testAdminState},
	{"MTU", testMTU},
	{"MAC", testMAC},
	{"OutsideChanges", testOutsideChanges},
	{"NoInterface", testNoInterface},
	{"Pair", testPair},
	{"PairFollowsPhy", testPairFollowsPhy},
	{"PairNameTaken", testPairNameTaken},
	{"PairPhyGoes", testPairPhyGoes},
	{"PairSurvivesClient", testPairSurvivesClient},
	{"Carrier", testCarrier},
	{"Multicast", testMulticast},
	{"SubInterfaces", testSubInterfaces},
	{"SubInterfacePair", testSubInterfacePair},
	{"Addresses", testAddresses},
	{"AddressesWithin", testAddressesWithin},
	{"AddressesSurviveBounce", testAddressesSurviveBounce},
	{"OutsideAddresses", testOutsideAddresses},
	{"Neighbours", testNeighbours},
	{"Local", testLocal},
	{"Tables", testTables},
	{"Routes", testRoutes},
	{"RouteReplace", testRouteReplace},
	{"RouteTables", testRouteTables},
	{"ManyPaths", testManyPaths},
	{"ManyRoutes", testManyRoutes},
	{"OnlyOwnRoutes", testOnlyOwnRoutes},
	{"OutsideRouteDeleted", testOutsideRouteDeleted},
	{"RoutesSurviveClient", testRoutesSurviveClient},
	{"MPLS", testMPLS},
	{"FailuresInBatch", testFailuresInBatch},
	{"Malformed", testMalformed},
	{"Unsupported", testUnsupported},
	{"RestartKeepingState", testRestartKeeping},
	{"RestartWithoutState", testRestartEmpty},
}
