package ubuscmd

import (
	"context"
	"testing"

	"netbraid/ubus"
)

// TestCallEndedBySignal: a call that is ended by a signal while it waits says
// nothing: scripts are ended so, with what they have started.
func TestCallEndedBySignal(t *testing.T) {
	_, path, _ := startBroker(t)
	ctx := context.Background()
	c, err := ubus.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	came, held := make(chan bool), make(chan bool)
	if _, err := c.AddObject(ctx, "slow", []ubus.Method{{Name: "wait"}}, func(r *ubus.Request) {
		came <- true
		<-held
	}, nil); err != nil {
		t.Fatal(err)
	}
	bg := start(path, []string{"call", "slow", "wait"})
	<-came
	rc := bg.finish(t, false)
	close(held)
	if rc != 143 || bg.stdout.String() != "" || bg.stderr.String() != "" {
		t.Errorf("exit code %d, %q, %q", rc, bg.stdout.String(), bg.stderr.String())
	}
}
