package sim

// Link watch: changes of carrier reach the operational state later, from a
// work queue (net/core/link_watch.c). The simulated kernel runs it at the end
// of every request.

func (k *Kernel) fire(l *link) {
	if !l.fired {
		l.fired = true
		k.watch = append(k.watch, l)
	}
}

func (k *Kernel) setCarrier(l *link, on bool) {
	if l.carrier == on {
		return
	}
	l.carrier = on
	if l.registered {
		k.fire(l)
	}
}

// policy is rfc2863_policy.
func (k *Kernel) policy(l *link) {
	l.oper = k.defaultOper(l)
}

func (k *Kernel) defaultOper(l *link) uint8 {
	if l.carrier {
		return operUp
	}
	if below := l.below(); below != nil && !below.carrier {
		return operLowerLayerDown
	}
	return operDown
}

// below is the link that IFLA_LINK names.
func (l *link) below() *link {
	if l.lower != nil {
		return l.lower
	}
	return l.peer
}

func (k *Kernel) linkWatch(l *link) {
	l.fired = false
	if !l.registered {
		return
	}
	k.policy(l)
	if l.up() {
		l.active = l.carrier
		k.stateChange(l)
	}
}

// stateChange is netdev_state_change.
func (k *Kernel) stateChange(l *link) {
	if !l.up() {
		return
	}
	k.event(evChange, l)
	k.linkMessage(l)
}
