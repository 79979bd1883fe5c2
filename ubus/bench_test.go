package ubus

import (
	"fmt"
	"os"
	"testing"
)

// BenchmarkBrokerCall measures calls through the broker and its socket: of an
// object of the broker's process and of another client, one after the other and
// 64 at a time, with a reply of a few octets and with one of 150 KiB, which is a
// dump of 500 interfaces.
func BenchmarkBrokerCall(b *testing.B) {
	for _, kind := range []string{"local", "client"} {
		for _, reply := range []string{"small", "150KiB"} {
			for _, window := range []int{1, 64} {
				b.Run(fmt.Sprintf("%s/%s/%d", kind, reply, window), func(b *testing.B) {
					benchmarkCall(b, kind == "local", reply != "small", window)
				})
			}
		}
	}
}

// dump is what 500 interfaces come to, at some 300 octets each.
func dump() []byte {
	b, list := OpenArray(nil, "interface")
	for i := range 500 {
		var m int
		b, m = OpenTable(b, "")
		b = AppendString(b, "interface", fmt.Sprint("if", i))
		for _, flag := range []string{"up", "pending", "available", "autostart", "dynamic"} {
			b = AppendBool(b, flag, i%2 == 0)
		}
		b = AppendString(b, "proto", "static")
		b = AppendString(b, "device", fmt.Sprint("eth0.", i))
		b = AppendString(b, "note", string(make([]byte, 96)))
		b = CloseContainer(b, m)
	}
	return CloseContainer(b, list)
}

func benchmarkCall(b *testing.B, local, big bool, window int) {
	br, path := startBroker(b, BrokerOptions{})
	reply := Table{{"up", true}, {"uptime", 4711}}.Encode()
	if big {
		if reply = dump(); len(reply) < 140<<10 || len(reply) > 160<<10 {
			b.Fatal(len(reply))
		}
	}
	serve := func(r *Request) {
		r.ReplyRaw(reply)
		r.Done(StatusOK)
	}
	if local {
		br.AddObject("echo", echoMethods, serve)
	} else if _, err := dial(b, path).AddObject(testCtx(b), "echo", echoMethods, serve, nil); err != nil {
		b.Fatal(err)
	}
	c := dial(b, path)
	id, err := c.LookupID(testCtx(b), "echo")
	if err != nil {
		b.Fatal(err)
	}
	args := Table{{"s", "hello"}, {"i", 5}}.Encode()
	open := make(chan struct{}, window)
	p := &pendingCall{fail: func(err error) { b.Error(err); <-open }}
	p.handle = func(h Header, a *attrs, _ *os.File) bool {
		if h.Type == MsgStatus {
			if statusOf(a) != StatusOK {
				b.Error(statusOf(a))
			}
			<-open
		} else if len(a.data) != len(reply) {
			b.Error(len(a.data))
		}
		return h.Type == MsgStatus
	}
	b.SetBytes(int64(len(reply)))
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		open <- struct{}{}
		if _, err := c.start(MsgInvoke, id, nil, p, func(b []byte) []byte {
			b = AppendAttrString(AppendAttrUint32(b, AttrObjID, id), AttrMethod, "echo")
			return AppendAttr(b, AttrData, args)
		}); err != nil {
			b.Fatal(err)
		}
	}
	for range cap(open) {
		open <- struct{}{}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
