package ubus

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// When the broker dies and another one comes, the objects come back.
func TestPeerComesBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	ctx := testCtx(t)
	serve := func() *Broker {
		l, c, err := ListenOrDial(ctx, path)
		if err != nil || c != nil {
			t.Fatal(c, err)
		}
		b := NewBroker(BrokerOptions{ACLDir: dir, Log: quiet()})
		go b.Serve(l)
		return b
	}
	b := serve()
	bus, err := Open(ctx, BusOptions{Path: path, Log: quiet()})
	if err != nil || bus.Embedded() != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	for i := range 20 {
		if err := bus.AddObject(fmt.Sprintf("o%02d", i), echoMethods[i%2:], echo); err != nil {
			t.Fatal(err)
		}
	}
	bus.RemoveObject("o19")
	for round := range 3 {
		c := dial(t, path)
		var infos []ObjectInfo
		eventually(t, func() bool { infos, _ = c.LookupAll(ctx); return len(infos) == 19 })
		if infos[0].TypeID != infos[2].TypeID || infos[0].TypeID == infos[1].TypeID {
			t.Error("types are not shared", infos[:3])
		}
		if _, err := c.Call(ctx, "o07", "fail", Table{{"s", 8}}); StatusOf(err) != StatusNotSupported {
			t.Error(err)
		}
		var got collector
		sub, err := c.Subscriber(ctx, got.add, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sub.Subscribe(ctx, infos[3].ID); err != nil {
			t.Fatal(err)
		}
		if err := sub.ListenTo(ctx, "e*"); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return bus.HasSubscribers("o03") })
		bus.Notify("o03", "n", nil)
		bus.Event("ev", nil)
		got.wait(t, "n {}", "ev {}")
		b.Close()
		if round == 2 {
			break
		}
		bus.Event("nobody hears", nil)
		time.Sleep(20 * time.Millisecond)
		b = serve()
	}
}

// Of many that start at once exactly one listens.
func TestListenRace(t *testing.T) {
	for range 10 {
		path := filepath.Join(t.TempDir(), "run", "s")
		stale(t, path)
		var wg sync.WaitGroup
		var embedded, failed atomic.Int32
		buses := make([]Bus, 8)
		for i := range buses {
			wg.Go(func() {
				bus, err := Open(testCtx(t), BusOptions{Path: path, Log: quiet()})
				if err != nil {
					failed.Add(1)
					t.Error(err)
					return
				}
				if bus.Embedded() != nil {
					embedded.Add(1)
				}
				bus.AddObject(fmt.Sprint("o", i), echoMethods, echo)
				buses[i] = bus
			})
		}
		wg.Wait()
		if embedded.Load() != 1 || failed.Load() != 0 {
			t.Fatalf("%d brokers, %d failed", embedded.Load(), failed.Load())
		}
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
			t.Error(st, err)
		}
		c := dial(t, path)
		eventually(t, func() bool { l, err := c.LookupAll(testCtx(t)); return err == nil && len(l) == len(buses) })
		for _, b := range buses {
			if b.Embedded() == nil {
				b.Close()
			}
		}
		for _, b := range buses {
			b.Close()
		}
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Error("socket left behind", err)
		}
	}
}

// stale leaves a socket file that nobody listens on.
func stale(t *testing.T, path string) {
	os.MkdirAll(filepath.Dir(path), 0o755)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func TestListenRefusesFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	os.WriteFile(path, []byte("precious"), 0o600)
	if l, c, err := ListenOrDial(testCtx(t), path); err == nil {
		t.Error(l, c)
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("file was touched")
	}
}
