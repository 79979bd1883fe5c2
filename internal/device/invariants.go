package device

import (
	"errors"
	"fmt"
)

// CheckInvariants tells which promises of the graph do not hold.
func (g *Graph) CheckInvariants() error {
	var errs []error
	for n, d := range g.devs {
		held := 0
		for _, h := range d.users {
			if h {
				held++
			}
		}
		if d.claims < 0 || d.claims != held {
			errs = append(errs, fmt.Errorf("device %s counts %d claims, %d users hold one", n, d.claims, held))
		}
		if d.claims > 0 && !d.present {
			errs = append(errs, fmt.Errorf("device %s is claimed and not present", n))
		}
		if len(d.users) == 0 {
			errs = append(errs, fmt.Errorf("device %s has no users and is still there", n))
		}
		if d.up && d.claims == 0 {
			errs = append(errs, fmt.Errorf("device %s is up without a claim", n))
		}
		if d.link && !d.up {
			errs = append(errs, fmt.Errorf("device %s has link and is not up", n))
		}
	}
	return errors.Join(errs...)
}
