package mirror_test

import (
	"context"
	"os"
	"testing"
	"time"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// readAll feeds an engine with full dumps, and nothing else.
func readAll(t *testing.T, conn *rtnl.Conn, e *mirror.Engine) {
	t.Helper()
	e.Start(time.Now())
	for more := true; more; {
		more = false
		for _, r := range e.Requests() {
			more = true
			if r.Subscribe {
				e.Subscribed(r.Epoch)
				continue
			}
			res, err := conn.Dump(context.Background(), rtnl.AppendDumpRequest(nil, r.Dump, 0, rtnl.Filter{}), func(b []byte) error {
				e.Dumped(r.Epoch, b)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			e.DumpDone(time.Now(), r.Epoch, r.Dump, res.Complete, res.Interrupted)
		}
	}
}
