package ubus

import (
	"os"
	"sync/atomic"
)

// Arg is one argument in the signature of a Method.
type Arg struct {
	Name string
	Type Type // TypeUnspec: any
}

// Method is what an object offers: a name and the arguments that it knows. The
// signature is information for callers; nobody checks arguments against it.
type Method struct {
	Name string
	Args []Arg
}

// AppendSignature appends the blobmsg form of methods, as it stands in the
// SIGNATURE attribute.
func AppendSignature(b []byte, methods []Method) []byte {
	for _, m := range methods {
		var mark int
		b, mark = OpenTable(b, m.Name)
		for _, a := range m.Args {
			b = AppendInt32(b, a.Name, int32(a.Type))
		}
		b = CloseContainer(b, mark)
	}
	return b
}

// ParseSignature reads a SIGNATURE attribute.
func ParseSignature(b []byte) []Method {
	var methods []Method
	for _, f := range DecodeTable(b) {
		args, ok := f.Value.(Table)
		if !ok {
			continue
		}
		m := Method{Name: f.Name}
		for _, a := range args {
			if t, ok := a.Value.(int32); ok {
				m.Args = append(m.Args, Arg{Name: a.Name, Type: Type(t)})
			}
		}
		methods = append(methods, m)
	}
	return methods
}

// Handler serves the calls of an object. It may run on several goroutines at
// once and must not block for long: only the connection whose call it holds
// waits for it, but that one does. It may keep the request and answer later
// from any goroutine. It is not called for methods that the object lacks.
type Handler func(*Request)

// Request is one call of a method of ours.
type Request struct {
	Object string // path of the object, "" if anonymous
	Method string
	User   string // who calls, as the broker knows him; "root"
	Group  string
	Caller uint32 // client id

	data []byte
	fd   atomic.Pointer[os.File]
	to   responder
	lost atomic.Bool // a reply was too large
	done atomic.Bool
}

// responder carries answers back to the caller.
type responder interface {
	sendData(fill func([]byte) []byte) (fits bool)
	sendStatus(s Status, fd *os.File)
}

// Args returns the arguments of the call.
func (r *Request) Args() Table { return DecodeTable(r.data) }

// RawArgs returns the arguments as blobmsg data.
func (r *Request) RawArgs() []byte { return r.data }

// TakeFD returns the descriptor that came with the call (SCM_RIGHTS), nil if
// none did or it was taken before. It belongs to the taker, who closes it. One
// that nobody took stays open until Done, also when the handler has returned
// and the call is answered later; Done closes it.
func (r *Request) TakeFD() *os.File { return r.fd.Swap(nil) }

// Reply sends one reply. A call may have any number of them before Done. A
// reply that would make a message beyond MaxMessage is not sent, and Done then
// answers StatusUnknownError in place of StatusOK.
func (r *Request) Reply(t Table) {
	r.reply(func(b []byte) []byte { return AppendTable(b, t) })
}

// ReplyRaw is Reply with blobmsg data, see the Append functions.
func (r *Request) ReplyRaw(data []byte) {
	r.reply(func(b []byte) []byte { return append(b, data...) })
}

func (r *Request) reply(fill func([]byte) []byte) {
	if !r.done.Load() && !r.to.sendData(fill) {
		r.lost.Store(true)
	}
}

// Done ends the call. Only the first Done counts.
func (r *Request) Done(s Status) { r.DoneFD(s, nil) }

// DoneFD is Done with a descriptor for the caller. It takes fd over.
func (r *Request) DoneFD(s Status, fd *os.File) {
	if r.done.Swap(true) {
		closeFile(fd)
		return
	}
	closeFile(r.TakeFD())
	if s == StatusOK && r.lost.Load() {
		s = StatusUnknownError
	}
	r.to.sendStatus(s, fd)
}
