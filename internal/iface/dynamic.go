package iface

// Removing tells that the interface is on its way out.
func (m *Machine) Removing() bool { return m.removing }

// DataChanged tells that what is attached to the interface has changed; one
// that is up makes it known.
func (m *Machine) DataChanged() {
	if m.state == Up {
		m.updated = Updated{Data: true}
		m.notices = append(m.notices, IfUpdate)
	}
}
