package ubus

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultACLDir is where ubusd looks for access lists.
const DefaultACLDir = "/usr/share/acl.d"

// BrokerOptions configure a Broker. The zero value of a field means its default.
type BrokerOptions struct {
	ACLDir     string       // access lists, default DefaultACLDir
	MaxObjects int          // objects, and subscriptions, per client; default 4096
	MaxQueue   int          // bytes queued for a client that does not read, a quarter of what one gets who does; default 4 MiB
	Log        *slog.Logger // default slog.Default()

	creds func(*net.UnixConn) (credentials, error) // for tests
}

// Broker does the work of ubusd: it routes calls, notifications and events
// between clients, and serves the objects of its own process. All methods may
// be called from any goroutine, and none blocks on a client.
type Broker struct {
	opt BrokerOptions
	log *slog.Logger

	mu       sync.Mutex
	closed   bool
	clients  map[uint32]*brokerClient
	objects  map[uint32]*object
	byPath   map[string]*object
	sorted   []*object // with a path and a type, by path
	types    map[uint32]*objType
	patterns []*pattern // by text
	eventSeq uint16
	acl      *accessList
	aclSeq   uint32
	local    *brokerClient // owns the objects of this process; has no connection
	open     map[net.Listener]struct{}
	wg       sync.WaitGroup

	monMu    sync.Mutex
	monitors []*brokerClient
	watched  atomic.Bool // len(monitors) > 0
}

// NewBroker returns a broker without a socket; Serve gives it one. Close ends it.
func NewBroker(opt BrokerOptions) *Broker {
	if opt.ACLDir == "" {
		opt.ACLDir = DefaultACLDir
	}
	if opt.MaxObjects <= 0 {
		opt.MaxObjects = 4096
	}
	if opt.MaxQueue <= 0 {
		opt.MaxQueue = 4 << 20
	}
	if opt.Log == nil {
		opt.Log = slog.Default()
	}
	if opt.creds == nil {
		opt.creds = peerCredentials
	}
	b := &Broker{
		opt: opt, log: opt.Log,
		clients: map[uint32]*brokerClient{}, objects: map[uint32]*object{},
		byPath: map[string]*object{}, types: map[uint32]*objType{},
		open: map[net.Listener]struct{}{},
	}
	if b.acl = loadAccessList(opt.ACLDir, b.log); b.acl == nil {
		b.acl = &accessList{}
	}
	b.local = &brokerClient{b: b, id: freeID(b.clients), cred: credentials{user: "root", group: "root"}}
	b.clients[b.local.id] = b.local
	return b
}

// Serve accepts clients on l, a listener of unix stream sockets, until l or
// the broker is closed. It returns nil then, else the error of l.
func (b *Broker) Serve(l net.Listener) error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return l.Close()
	}
	b.open[l] = struct{}{}
	b.wg.Add(1)
	b.mu.Unlock()
	defer b.wg.Done()
	delay := time.Duration(0)
	for {
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil && isTemporary(err):
			delay = min(delay+10*time.Millisecond, time.Second)
			b.log.Warn("ubus broker: accept", "err", err, "retry", delay)
			time.Sleep(delay)
			continue
		case err != nil:
			return fmt.Errorf("ubus broker: accept on %v: %w", l.Addr(), err)
		}
		delay = 0
		uc, ok := conn.(*net.UnixConn)
		if !ok {
			conn.Close()
			return fmt.Errorf("ubus broker: %v is not a unix socket", l.Addr())
		}
		b.admit(uc)
	}
}

// admit greets a new client and starts its two goroutines.
func (b *Broker) admit(conn *net.UnixConn) {
	cred, err := b.opt.creds(conn)
	if err != nil {
		b.log.Debug("ubus broker: client refused", "err", err)
		conn.Close()
		return
	}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		conn.Close()
		return
	}
	c := &brokerClient{b: b, id: freeID(b.clients), cred: cred, conn: conn, out: newOutQueue(b.opt.MaxQueue)}
	b.clients[c.id] = c
	c.send(MsgHello, 0, c.id, nil, nil)
	b.wg.Add(2)
	b.mu.Unlock()
	go func() {
		defer b.wg.Done()
		c.out.run(conn) // a failed write shows in the reader, too
		conn.Close()
	}()
	go func() {
		defer b.wg.Done()
		c.readLoop()
	}()
}

// Close disconnects all clients, stops every Serve and waits for the
// broker's goroutines.
func (b *Broker) Close() error {
	b.mu.Lock()
	b.closed = true
	var err error
	for l := range b.open {
		if e := l.Close(); e != nil && !errors.Is(e, net.ErrClosed) {
			err = e
		}
	}
	clear(b.open)
	for _, c := range b.clients {
		if c.conn != nil {
			c.conn.Close()
			c.out.close()
		}
	}
	b.mu.Unlock()
	b.wg.Wait()
	return err
}

// ReloadACL reads the access lists again and sends the event
// ubus.acl.sequence. It is what SIGHUP does to ubusd, whose lists also stay in
// force when the directory holds none any more: a list without rules, or a new
// start of the broker, ends them.
func (b *Broker) ReloadACL() {
	acl := loadAccessList(b.opt.ACLDir, b.log)
	b.mu.Lock()
	defer b.mu.Unlock()
	if acl != nil {
		b.acl = acl
	} else if len(b.acl.entries) > 0 {
		b.log.Warn("ubus broker: no access list found, the previous ones stay in force", "dir", b.opt.ACLDir)
	}
	b.aclSeq++
	b.event(nil, "ubus.acl.sequence", AppendInt32(nil, "sequence", int32(b.aclSeq)))
}

// freeID returns a random id, at least firstID, that is not a key of used.
func freeID[T any](used map[uint32]T) uint32 {
	for {
		id := rand.Uint32()
		if _, taken := used[id]; id >= firstID && !taken {
			return id
		}
	}
}

// isTemporary says whether accept may work again later.
func isTemporary(err error) bool {
	return errors.Is(err, errTooManyFiles) || errors.Is(err, errTooManyFilesSystem) || os.IsTimeout(err) ||
		errors.Is(err, errAborted)
}
