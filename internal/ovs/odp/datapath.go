package odp

import "netbraid/rtnl/nlattr"

import "fmt"

// Numbers of the attributes of a datapath (enum ovs_datapath_attr).
const (
	dpName       = 1
	dpUpcallPID  = 2
	dpStats      = 3
	dpMegaflow   = 4
	dpFeatures   = 5
	dpMasksCache = 7
	dpPerCPUPIDs = 8
	dpIfindex    = 9
)

// Features are what user space promises to understand, and ways in which a
// datapath is to work (OVS_DP_F_*).
type Features uint32

// The features.
const (
	// FeatureUnaligned: attributes of upcalls need not be padded.
	FeatureUnaligned Features = 1
	// FeatureVportPIDs: a port may have several upcall sockets.
	FeatureVportPIDs Features = 2
	// FeatureTCRecirc: flows offloaded through tc share the recirculation ids.
	FeatureTCRecirc Features = 4
	// FeaturePerCPU: upcalls go to the socket of the CPU, see
	// DatapathRequest.PerCPU; the sockets of the ports are not used.
	FeaturePerCPU Features = 8
)

// Datapath is a datapath as the kernel tells of it.
type Datapath struct {
	Index      uint32 // ifindex of its local device
	Name       string // of its local device when it was made
	Features   Features
	MasksCache uint32 // entries, a power of two; 0: none
	PerCPU     []uint32
	// Counters since it was made: packets that a flow has taken, that were
	// upcalls, and of these those that no socket has taken.
	Hit, Missed, Lost uint64
	Flows             uint64 // there now
	Masks             uint32 // different masks of these
	MaskHit           uint64 // masks that were looked at
	CacheHit          uint64 // packets whose mask was in the cache
}

// ParseDatapath reads the body of a message of ovs_datapath.
func ParseDatapath(body []byte) (Datapath, error) {
	h, attrs, err := ParseHeader(body)
	if err != nil {
		return Datapath{}, err
	}
	d := Datapath{Index: h.Datapath}
	c := attributes(attrs)
	for c.Next() {
		switch c.Type {
		case dpName:
			d.Name = c.Str()
		case dpFeatures:
			d.Features = Features(c.U32())
		case dpMasksCache:
			d.MasksCache = c.U32()
		case dpPerCPUPIDs:
			d.PerCPU = c.u32s()
		case dpStats:
			if c.Has(32) {
				d.Hit, d.Missed, d.Lost, d.Flows = ne.Uint64(c.Val), ne.Uint64(c.Val[8:]), ne.Uint64(c.Val[16:]), ne.Uint64(c.Val[24:])
			}
		case dpMegaflow:
			if c.Has(24) {
				d.MaskHit, d.Masks, d.CacheHit = ne.Uint64(c.Val), ne.Uint32(c.Val[8:]), ne.Uint64(c.Val[16:])
			}
		}
	}
	if c.Err != nil {
		return Datapath{}, fmt.Errorf("odp: datapath %q (%d): %w", d.Name, d.Index, c.Err)
	}
	return d, nil
}

// DatapathFields names what a DatapathRequest sends besides the name.
type DatapathFields uint8

// The fields.
const (
	SetUpcallPID DatapathFields = 1 << iota
	SetFeatures
	SetMasksCache
	SetPerCPU
	SetIfindex
)

// DatapathRequest is what is asked about a datapath.
type DatapathRequest struct {
	Index uint32 // of an existing one; 0: by Name
	Name  string // 1 to 15 octets; empty: by Index
	Set   DatapathFields
	// UpcallPID is the netlink port that gets the misses of the local port; 0:
	// they are dropped. CmdNew needs it.
	UpcallPID  uint32
	Features   Features
	MasksCache uint32
	PerCPU     []uint32 // netlink ports by CPU, with FeaturePerCPU
	Ifindex    uint32   // wanted of the local device, of CmdNew (Linux 6.3)
}

// AppendDatapath appends the request cmd; typ is the number of ovs_datapath,
// flags are NLM_F_* beside NLM_F_REQUEST.
func AppendDatapath(b []byte, typ uint16, cmd uint8, flags uint16, r *DatapathRequest) []byte {
	start := len(b)
	b = openMessage(b, typ, flags, Header{cmd, Version(FamilyDatapath), r.Index})
	if r.Name != "" {
		b = nlattr.AppendString(b, dpName, r.Name)
	}
	if r.Set&SetUpcallPID != 0 {
		b = nlattr.AppendU32(b, dpUpcallPID, r.UpcallPID)
	}
	if r.Set&SetFeatures != 0 {
		b = nlattr.AppendU32(b, dpFeatures, uint32(r.Features))
	}
	if r.Set&SetMasksCache != 0 {
		b = nlattr.AppendU32(b, dpMasksCache, r.MasksCache)
	}
	if r.Set&SetPerCPU != 0 {
		b = appendU32s(b, dpPerCPUPIDs, r.PerCPU)
	}
	if r.Set&SetIfindex != 0 {
		b = nlattr.AppendU32(b, dpIfindex, r.Ifindex)
	}
	return closeMessage(b, start)
}
