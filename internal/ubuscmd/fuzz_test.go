package ubuscmd

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"netbraid/ubus"
)

// FuzzMonitorLine prints messages of any content: one line each, whatever is
// in them.
func FuzzMonitorLine(f *testing.F) {
	for _, name := range []string{"35-monitor", "70-malformed"} {
		_, msgs := load(f, name)
		for _, m := range msgs {
			if len(m.raw) > ubus.HeaderLen {
				f.Add(m.raw[ubus.HeaderLen:])
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer
		c := &command{out: bufio.NewWriter(&b)}
		c.printMessage(ubus.MonitorMessage{Client: 1, Peer: 2, Type: ubus.MsgData, Data: data})
		if out := b.String(); strings.Count(out, "\n") != 1 || !strings.HasPrefix(out, "<- 00000001 #00000002           data: {") {
			t.Errorf("%q", out)
		}
	})
}

// FuzzOptions takes command lines of any content apart: what remains
// stood there, in that order.
func FuzzOptions(f *testing.F) {
	f.Add("-St5\x00call\x00-s\x00x\x00a\x00--\x00-v")
	f.Add("-m\x00invoke\x00-Mr\x00monitor")
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "\x00")
		_, rest, err := parseOptions(args)
		if err != nil {
			return
		}
		i := 0
		for _, a := range args {
			if i < len(rest) && a == rest[i] {
				i++
			}
		}
		if i != len(rest) {
			t.Errorf("%q became %q", args, rest)
		}
	})
}
