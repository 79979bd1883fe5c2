package device

import (
	"cmp"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"netbraid/internal/config"
	"netbraid/internal/model"
	"netbraid/rtnl"
)

// EventKind is what happened to a device, in the words of netifd's design.
type EventKind uint8

// The device events.
const (
	Add           EventKind = iota // the device is now present
	Remove                         // it is no longer available: users drop their claims
	Setup                          // it is about to be brought up
	Up                             // it is up
	Teardown                       // it is about to be brought down
	Down                           // it has been brought down
	LinkUp                         // it has carrier
	LinkDown                       // it has lost carrier
	UpdateIfindex                  // another link stands behind the same name
	AuthUp                         // 802.1X has let it through
	TopoChange                     // a bridge has got a port, or lost one
)

var eventNames = [...]string{"add", "remove", "setup", "up", "teardown", "down", "link_up", "link_down", "update_ifindex", "auth_up", "topo_change"}

func (k EventKind) String() string { return eventNames[k] }

// Event is one event of one device.
type Event struct {
	Device string
	Kind   EventKind
}

// Links is the observed state that the graph reads.
type Links interface {
	LinkByName(name string) *rtnl.Link
}

// Device is a Linux link or a group of them, as users see it.
type Device struct {
	Name    string
	cfg     *config.Device // nil: no section names it
	overlay map[string]overlay
	users   map[string]bool // user → holds a claim
	claims  int
	present bool
	up      bool
	link    bool
	ifindex uint32

	hotplug // what callers of the API have said of it
}

// overlay is what an interface section asks of its device.
type overlay struct {
	settings *model.Settings
	ipv6Set  bool
	takeover bool
}

// Graph holds all devices of one namespace.
type Graph struct {
	links   Links
	devs    map[string]*Device
	above   map[string]map[string]bool // device → devices that are built on it
	events  []Event
	changed map[string]bool // devices whose want may have changed
	work    []string
	busy    bool

	switched bool   // see Switched
	leaving  bool   // see LeaveSwitches
	hotplugs uint64 // counts changes of what was said at run time
	takeover bool   // see SetTakeover
}

// configUser is who uses a device only because a section names it.
const configUser = "config"

// NewGraph makes an empty graph.
func NewGraph(links Links) *Graph {
	return &Graph{links: links, devs: map[string]*Device{}, above: map[string]map[string]bool{}, changed: map[string]bool{}}
}

// SetTakeover claims for us what is on every device (globals), or not.
func (g *Graph) SetTakeover(on bool) {
	if g.takeover == on {
		return
	}
	g.takeover = on
	for n := range g.devs {
		g.changed[n] = true
	}
}

// Configure replaces the configuration of all devices.
func (g *Graph) Configure(devs []*config.Device) {
	next := map[string]*config.Device{}
	for _, c := range devs {
		next[c.Name] = c
	}
	for _, name := range slices.Sorted(maps.Keys(g.devs)) {
		if d := g.devs[name]; d != nil && d.cfg != nil && d.cfg.Type != config.Tunnel && next[name] == nil {
			g.setConfig(d, nil)
			g.Unuse(name, configUser)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(next)) {
		g.Use(name, configUser)
		g.setConfig(g.devs[name], next[name])
	}
	g.run()
}

func (g *Graph) setConfig(d *Device, c *config.Device) {
	g.noteSwitch(d)
	g.rewire(d, func() {
		d.cfg = c
		if !hasPorts(c) && (d.ports != nil || d.specs != nil || d.prepared) {
			d.ports, d.specs, d.prepared = nil, nil, false
			g.hotplugs++
		}
	})
	if c == nil || c.Type != config.OpenVSwitch {
		g.Release(d.Name, configUser) // which only a bridge of Open vSwitch has
	}
}

// rewire changes what a device is built on.
func (g *Graph) rewire(d *Device, change func()) {
	old := d.below()
	change()
	now := d.below()
	user := "device " + d.Name
	for _, b := range old {
		if !slices.Contains(now, b) {
			delete(g.above[b], d.Name)
			g.changed[b] = true
			g.Unuse(b, user)
		}
	}
	for _, b := range now {
		if g.above[b] == nil {
			g.above[b] = map[string]bool{}
		}
		g.above[b][d.Name] = true
		g.Use(b, user)
		g.touch(b)
	}
	g.touch(d.Name)
}

// below gives the devices that a device is built on, in order.
func below(c *config.Device) []string {
	switch {
	case c == nil:
		return nil
	case hasPorts(c):
		return c.Ports
	case ofSwitch(c):
		return []string{c.Bridge}
	case c.Parent != "":
		return []string{c.Parent}
	}
	return nil
}

// Overlay sets what an interface section asks of its device: device options
// (nil for none), and whether what others left on it is taken over.
func (g *Graph) Overlay(device, user string, s *model.Settings, ipv6Set, takeover bool) {
	d := g.devs[device]
	if d == nil {
		return
	}
	if s == nil && !takeover {
		delete(d.overlay, user)
	} else {
		d.overlay[user] = overlay{s, ipv6Set, takeover}
	}
	g.changed[device] = true
}

// Use adds a user. If the device is present it hears Add at once (and Up and
// LinkUp, if that is so).
func (g *Graph) Use(device, user string) {
	d := g.devs[device]
	if d == nil {
		d = &Device{Name: device, users: map[string]bool{}, overlay: map[string]overlay{}}
		g.devs[device] = d
		g.touch(device)
	}
	if _, there := d.users[user]; there {
		return
	}
	d.users[user] = false
	g.run()
}

// Unuse removes a user with its claim. A device goes with its last user.
func (g *Graph) Unuse(device, user string) {
	d := g.devs[device]
	if d == nil {
		return
	}
	g.Release(device, user)
	delete(d.users, user)
	delete(d.overlay, user)
	if len(d.users) == 0 {
		g.setConfig(d, nil)
		delete(g.devs, device)
		g.changed[device] = true
	}
	g.run()
}

// Claim counts a user in. It returns false, and counts nothing, when the
// device is not present. The first claim makes the device wanted up.
func (g *Graph) Claim(device, user string) bool {
	d := g.devs[device]
	if d == nil || !d.present {
		return false
	}
	if held, isUser := d.users[user]; held || !isUser {
		return held
	}
	d.users[user] = true
	d.claims++
	if d.claims == 1 {
		if l := g.links.LinkByName(device); l == nil || l.Flags&unix.IFF_UP == 0 {
			g.emit(device, Setup)
		}
		g.claimBelow(d)
		g.touch(device)
	}
	g.run()
	return true
}

// Release takes a user's claim back. With the last one the device is no
// longer wanted up.
func (g *Graph) Release(device, user string) {
	d := g.devs[device]
	if d == nil || !d.users[user] {
		return
	}
	d.users[user] = false
	d.claims--
	if d.claims == 0 {
		if d.up {
			g.emit(device, Teardown)
		}
		for _, b := range d.below() {
			g.Release(b, "device "+device)
			g.changed[b] = true
		}
		g.touch(device)
	}
	g.run()
}

// claimBelow claims what an active device is built on, as far as present.
func (g *Graph) claimBelow(d *Device) {
	for _, b := range d.below() {
		g.Claim(b, "device "+d.Name)
		g.changed[b] = true
	}
}

// LinkChanged tells of an observed change of a link.
func (g *Graph) LinkChanged(old, new *rtnl.Link) {
	if old != nil {
		g.touch(old.Name)
	}
	if new != nil && (old == nil || new.Name != old.Name) {
		g.touch(new.Name)
	}
	g.topology(old, new)
	if old != nil && new != nil && old.Addr != new.Addr {
		for a := range g.above[new.Name] {
			g.changed[a] = true // a bridge takes the address of its primary port
		}
	}
	g.run()
}

func (g *Graph) touch(name string) { g.work = append(g.work, name) }

func (g *Graph) emit(name string, k EventKind) { g.events = append(g.events, Event{name, k}) }

// run brings devices to what their links and each other say, until nothing
// changes any more.
func (g *Graph) run() {
	if g.busy {
		return
	}
	g.busy = true
	for len(g.work) > 0 {
		name := g.work[0]
		g.work = g.work[1:]
		if d := g.devs[name]; d != nil {
			g.refresh(d)
		}
	}
	g.busy = false
}

func (g *Graph) refresh(d *Device) {
	g.changed[d.Name] = true
	l := g.links.LinkByName(d.Name)
	present := g.isPresent(d, l)
	if !present && d.present {
		g.vanish(d)
		g.dropPort(d.Name)
	}
	if present && !d.present {
		d.present = true
		g.emit(d.Name, Add)
		g.tellAbove(d)
	}
	if l != nil {
		if d.ifindex != 0 && d.ifindex != l.Index {
			g.emit(d.Name, UpdateIfindex)
		}
		d.ifindex = l.Index
	} else {
		d.ifindex = 0
	}
	if d.present && d.cfg != nil && d.cfg.Type == config.OpenVSwitch && !g.leaving {
		g.Claim(d.Name, configUser) // it forwards whether or not an interface is on it
	}
	if d.claims > 0 && d.present {
		g.claimBelow(d)
	}
	g.noteSwitch(d)
	up := d.present && d.claims > 0 && l != nil && l.Flags&unix.IFF_UP != 0
	link := up && l.Carrier
	if !link && d.link {
		d.link, d.authorized = false, false
		g.emit(d.Name, LinkDown)
	}
	if up != d.up {
		d.up = up
		g.emit(d.Name, map[bool]EventKind{true: Up, false: Down}[up])
	}
	if link && !d.link {
		d.link = true
		g.emit(d.Name, LinkUp)
	}
}

// vanish takes the claims off a device that has gone; those who held them
// hear of it through Remove.
func (g *Graph) vanish(d *Device) {
	d.present = false
	if d.link {
		d.link, d.authorized = false, false
		g.emit(d.Name, LinkDown)
	}
	if d.up {
		d.up = false
		g.emit(d.Name, Down)
	}
	for _, u := range slices.Sorted(maps.Keys(d.users)) {
		if d.users[u] {
			d.users[u] = false
			d.claims--
		}
	}
	for _, b := range d.below() {
		g.Release(b, "device "+d.Name)
		g.changed[b] = true
	}
	g.emit(d.Name, Remove)
	g.tellAbove(d)
}

func (g *Graph) tellAbove(d *Device) {
	for _, a := range slices.Sorted(maps.Keys(g.above[d.Name])) {
		g.touch(a)
	}
}

func (g *Graph) isPresent(d *Device, l *rtnl.Link) bool {
	c := d.cfg
	switch {
	case d.deferred:
		return false
	case c == nil:
		return l != nil
	case c.Disabled:
		return false
	case c.Type == config.Bridge:
		return c.BridgeEmpty || d.prepared || slices.ContainsFunc(d.below(), func(p string) bool { return g.Present(p) })
	case ofSwitch(c):
		return switchLink(l)
	case c.Type == config.Veth, c.Type == config.Tunnel:
		return true
	case c.Parent != "":
		return g.Present(c.Parent)
	}
	return l != nil
}

// Present tells whether the device is there.
func (g *Graph) Present(name string) bool { d := g.devs[name]; return d != nil && d.present }

// State is what a user of a device can ask about it.
type State struct {
	Known, Present, Up, Link bool
	Ifindex                  uint32
	Claims                   int
	Config                   *config.Device
	// External: somebody else brings the link up and down.
	External bool
	// Auth: the link carries no traffic before 802.1X has let it through,
	// which Authorized tells.
	Auth, Authorized bool
}

// State of a device.
func (g *Graph) State(name string) State {
	d := g.devs[name]
	if d == nil {
		return State{}
	}
	return State{Known: true, Present: d.present, Up: d.up, Link: d.link, Ifindex: d.ifindex, Claims: d.claims, Config: d.cfg,
		External: d.external, Auth: d.needsAuth(), Authorized: d.authorized}
}

// Names of all devices, sorted.
func (g *Graph) Names() []string { return slices.Sorted(maps.Keys(g.devs)) }

// Events returns and clears what has happened, in order.
func (g *Graph) Events() []Event {
	out := g.events
	g.events = nil
	return out
}

// Changed returns and clears the devices whose want may have changed, sorted.
func (g *Graph) Changed() []string {
	if len(g.changed) == 0 {
		return nil
	}
	out := slices.SortedFunc(maps.Keys(g.changed), cmp.Compare[string])
	clear(g.changed)
	return out
}
