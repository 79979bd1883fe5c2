package ubuscmd

import (
	"context"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"netbraid/ubus"
)

// echoServer is a client that serves the object "echo" of the recordings.
type echoServer struct {
	t   *testing.T
	c   *ubus.Client
	obj atomic.Pointer[ubus.Object]
	tmp atomic.Pointer[ubus.Object]
}

var echoArgs = []ubus.Arg{
	{Name: "s", Type: ubus.TypeString}, {Name: "i", Type: ubus.TypeInt32}, {Name: "b", Type: ubus.TypeBool},
	{Name: "t", Type: ubus.TypeTable}, {Name: "a", Type: ubus.TypeArray}, {Name: "l", Type: ubus.TypeInt64},
	{Name: "d", Type: ubus.TypeDouble}, {Name: "h", Type: ubus.TypeInt16},
}

var echoMethods = []ubus.Method{
	{Name: "echo", Args: echoArgs}, {Name: "need", Args: echoArgs}, {Name: "types"}, {Name: "status", Args: echoArgs},
	{Name: "never"}, {Name: "later", Args: echoArgs}, {Name: "multi"}, {Name: "big", Args: echoArgs},
	{Name: "fd"}, {Name: "takefd"}, {Name: "notify", Args: echoArgs}, {Name: "add"}, {Name: "remove"},
}

func startEcho(t *testing.T, path string) *echoServer {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := ubus.Dial(ctx, path)
	if err != nil {
		t.Fatal(err)
	}
	e := &echoServer{t: t, c: c}
	o, err := c.AddObject(ctx, "echo", echoMethods, e.serve, nil)
	if err != nil {
		t.Fatal(err)
	}
	e.obj.Store(o)
	t.Cleanup(func() { c.Close() })
	return e
}

func (e *echoServer) serve(r *ubus.Request) {
	args := r.Args()
	s, hasS := args.String("s")
	i, hasI := args.Int32("i")
	status := ubus.StatusOK
	switch r.Method {
	case "echo":
		r.ReplyRaw(r.RawArgs())
	case "need":
		if !hasS || !hasI {
			status = ubus.StatusInvalidArgument
			break
		}
		r.Reply(ubus.Table{{Name: "got", Value: s}})
	case "types":
		r.Reply(allTypes)
	case "status":
		status = ubus.Status(i)
	case "never":
		return
	case "later":
		time.AfterFunc(time.Duration(i)*time.Millisecond, func() {
			r.Reply(ubus.Table{{Name: "when", Value: "later"}})
			r.Done(ubus.StatusOK)
		})
		return
	case "multi":
		for n := range 3 {
			r.Reply(ubus.Table{{Name: "n", Value: n}})
		}
	case "big":
		r.Reply(ubus.Table{{Name: "s", Value: string(make([]byte, i))}})
	case "fd":
		e.passPipe(r)
		return
	case "takefd":
		e.readPipe(r)
	default:
		e.change(r.Method, args)
	}
	r.Done(status)
}

// change serves the methods that do something on the bus.
func (e *echoServer) change(method string, args ubus.Table) {
	switch method {
	case "notify":
		e.notify(args)
	case "add": // after the answer, as recorded
		time.AfterFunc(5*time.Millisecond, func() { e.addTmp() })
	case "remove":
		time.AfterFunc(50*time.Millisecond, func() { e.removeTmp() })
	}
}

func (e *echoServer) notify(args ubus.Table) {
	why := ubus.Table{{Name: "why", Value: "test"}}
	if reply, _ := args.Bool("b"); !reply {
		e.obj.Load().Notify("evt.noreply", why)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if _, err := e.obj.Load().NotifyWait(ctx, "evt.reply", why); err != nil {
		e.t.Error(err)
	}
}

func (e *echoServer) addTmp() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	o, err := e.c.AddObject(ctx, "echo.tmp", echoMethods, e.serve, nil)
	if err != nil {
		e.t.Error(err)
	}
	e.tmp.Store(o)
}

func (e *echoServer) removeTmp() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := e.tmp.Load().Remove(ctx); err != nil {
		e.t.Error(err)
	}
}

func (e *echoServer) passPipe(r *ubus.Request) {
	pr, pw, err := os.Pipe()
	if err != nil {
		e.t.Error(err)
		r.Done(ubus.StatusSystemError)
		return
	}
	defer pw.Close()
	io.WriteString(pw, "text from the passed pipe\n")
	r.DoneFD(ubus.StatusOK, pr)
}

func (e *echoServer) readPipe(r *ubus.Request) {
	f := r.TakeFD()
	reply := ubus.Table{{Name: "fd", Value: f != nil}}
	if f != nil {
		defer f.Close()
		text, _ := io.ReadAll(f)
		reply = append(reply, ubus.Field{Name: "content", Value: string(text)})
	}
	r.Reply(reply)
}

// allTypes is the recorded reply of method types.
var allTypes = ubus.Table{
	{Name: "str", Value: "hello"}, {Name: "empty", Value: ""}, {Name: "esc", Value: "q\"b\\n\nt\tr\rx\x01\x7f/é"},
	{Name: "true", Value: true}, {Name: "false", Value: false}, {Name: "u8_200", Value: uint8(200)},
	{Name: "u16", Value: int16(-2)}, {Name: "u32", Value: int32(-1)}, {Name: "i32", Value: 123456},
	{Name: "u64", Value: int64(81985529216486895)}, {Name: "neg64", Value: int64(-5)},
	{Name: "dbl", Value: 3.25}, {Name: "dbl2", Value: -10000000000.0 / 3}, {Name: "nul", Value: nil},
	{Name: "tbl", Value: ubus.Table{{Name: "x", Value: 1}, {Name: "arr", Value: ubus.Array{"a", 2, true}}}},
	{Name: "etbl", Value: ubus.Table{}}, {Name: "earr", Value: ubus.Array{}},
	{Name: "n1", Value: "1"}, {Name: "nm2", Value: "12"}, {Name: "nam3", Value: "123"}, {Name: "name4", Value: "1234"},
}
