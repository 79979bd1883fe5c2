package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// outBuffer is how much is written at once, octets.
const outBuffer = 64 << 10

// namesEvery bounds how often names are read anew while loss follows loss.
const namesEvery = time.Second

// printer turns the stream into lines.
type printer struct {
	o      Options
	w      *bufio.Writer
	json   *json.Encoder
	names  names
	decode decoder

	losses int    // how often something was lost
	lost   uint64 // and how much, as far as it is known

	stale  bool      // a link may have got a name that we have not heard
	readAt time.Time // when the names were last read
}

func newPrinter(o Options) *printer {
	p := &printer{o: o, w: bufio.NewWriterSize(o.Out, outBuffer), names: names{nsfd: o.NSFD, of: map[uint32]string{}}}
	p.json = json.NewEncoder(p.w)
	p.json.SetEscapeHTML(false)
	return p
}

// run prints what the feed has until it ends; while nothing waits, nothing is
// held back.
func (p *printer) run(ctx context.Context, f *feed) error {
	for {
		x, ok, ended := f.take()
		var err error
		switch {
		case ok:
			err = p.item(ctx, x)
		case ended:
			return p.w.Flush()
		default:
			if err = p.w.Flush(); err == nil {
				<-f.wake
			}
		}
		if err != nil {
			return err
		}
	}
}

func (p *printer) item(ctx context.Context, x item) error {
	if x.lost != nowhere {
		p.stale = true
		return p.loss(x)
	}
	if p.stale && x.at.Sub(p.readAt) >= namesEvery {
		// What is read now is newer than the batch; a name that is still to
		// come in the stream does no harm. On failure the old ones do.
		p.stale, p.readAt = p.names.read(ctx) != nil, time.Now()
	}
	return p.batch(x.at, x.batch)
}

func (p *printer) batch(at time.Time, b []byte) error {
	for len(b) > 0 {
		h, body, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return p.line(at, record{Event: "unknown", Text: fmt.Sprintf("? %v", err)})
		}
		b = rest
		if h.Type < unix.RTM_BASE {
			continue // NLMSG_DONE and the like
		}
		p.names.learn(h, body)
		if p.o.wants(h.Type) {
			r := record{Text: rtnl.FormatMessage(h, body, p.names.name)}
			if p.o.JSON {
				r = p.decode.record(h, body, r.Text, p.names.name)
			}
			if err := p.line(at, r); err != nil {
				return err
			}
		}
		p.names.forget(h, body)
	}
	return nil
}

// loss says that here something is missing.
func (p *printer) loss(x item) error {
	p.losses++
	p.lost += x.count
	r := record{Event: "lost", Where: "receive-buffer", Losses: p.losses, Total: p.lost}
	why := "the receive buffer was full"
	if x.lost == inQueue {
		r.Where, why = "output", "the output was too slow"
	}
	what := "an unknown number of notifications"
	if x.count > 0 {
		r.Count = &x.count
		what = fmt.Sprintf("%d notifications", x.count)
	}
	if x.count == 1 {
		what = "1 notification"
	}
	r.Text = fmt.Sprintf("! %s lost: %s (loss %d, %d lost so far)", what, why, p.losses, p.lost)
	return p.line(x.at, r)
}

// sgr is how a line looks by its first letter (ECMA-48).
var sgr = map[byte]string{'-': "\x1b[2m", '!': "\x1b[31m"}

func (p *printer) line(at time.Time, r record) error {
	if p.o.JSON {
		if p.o.Timestamp {
			r.Time = at.UTC().Format("2006-01-02T15:04:05.000000Z")
		}
		return p.json.Encode(&r)
	}
	look := ""
	if p.o.Colour {
		look = sgr[r.Text[0]]
	}
	p.w.WriteString(look)
	if p.o.Timestamp {
		p.w.Write(at.AppendFormat(p.w.AvailableBuffer(), "15:04:05.000000 "))
	}
	p.w.WriteString(r.Text)
	if look != "" {
		p.w.WriteString("\x1b[0m")
	}
	return p.w.WriteByte('\n') // it keeps the first error
}

// wants tells whether messages of a type are to be printed.
func (o *Options) wants(typ uint16) bool {
	if len(o.Kinds) == 0 {
		return true
	}
	k, _ := rtnl.KindOf(typ)
	for _, x := range o.Kinds {
		if x == k {
			return true
		}
	}
	return false
}

// weigh counts the messages of a batch that are to be printed.
func (o *Options) weigh(b []byte) (n uint64) {
	for len(b) > 0 {
		h, _, rest, err := rtnl.NextMessage(b)
		if err != nil {
			return n
		}
		if h.Type >= unix.RTM_BASE && o.wants(h.Type) {
			n++
		}
		b = rest
	}
	return n
}
