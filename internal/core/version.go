package core

// version counts the changes of what is shown of interfaces.
type version struct {
	n        uint64
	touched  bool   // something moved in this step
	failures uint64 // of the planner, when last looked at
}

// Version changes with every step that may change what is shown of any
// interface or device, time that passes excepted. It changes before the step's
// actions are done, so whoever has seen an action, or got an answer, sees a
// version from after it.
func (c *Core) Version() uint64 { return c.shown.n }

// touch notes that something has moved that may be shown.
func (c *Core) touch() { c.shown.touched = true }

// countVersion ends a step. What is only observed counts when an interface, a
// device or a failure has moved with it; whatever else comes in always counts.
func (c *Core) countVersion(ev Event) {
	switch ev.(type) {
	case Notified, Dumped, DumpDone, Subscribed, Lost, SysctlValue, Wrote, Tick:
	default:
		c.touch()
	}
	if f := c.planner.FailuresVersion(); f != c.shown.failures {
		c.shown.failures = f
		c.touch()
	}
	if c.shown.touched {
		c.shown.touched = false
		c.shown.n++
	}
}
