package daemon

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/internal/nstest"
	"netbraid/rtnl"
)

// routeStorm adds and removes routes of another table at rate a second, until
// the function that it returns is called, which gives the rate that was reached.
func routeStorm(b *testing.B, ns *nstest.NS, rate int) func() float64 {
	conn := dialIn(b, ns)
	const batch = 500
	msgs := func(typ uint16, flags uint16, from int) [][]byte {
		out := make([][]byte, batch)
		for i := range out {
			n := from + i
			out[i] = rtnl.AppendRoute(nil, typ, unix.NLM_F_REQUEST|flags, 0, &rtnl.Route{Family: unix.AF_INET, Table: 7777,
				Type: unix.RTN_BLACKHOLE, Protocol: 186, Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(n >> 16), byte(n >> 8), byte(n)}), 32)})
		}
		return out
	}
	var stop atomic.Bool
	var done atomic.Int64
	ended := make(chan struct{})
	begun := time.Now()
	go func() {
		defer close(ended)
		for n := 0; !stop.Load(); n = (n + batch) % 100000 {
			for _, m := range [][][]byte{msgs(unix.RTM_NEWROUTE, unix.NLM_F_CREATE, n), msgs(unix.RTM_DELROUTE, 0, n)} {
				for _, err := range conn.Execute(context.Background(), m) {
					if err != nil {
						b.Errorf("storm: %v", err)
						return
					}
				}
				due := begun.Add(time.Duration(done.Add(batch)) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(due))
			}
		}
	}()
	return func() float64 {
		stop.Store(true)
		<-ended
		return float64(done.Load()) / time.Since(begun).Seconds()
	}
}
