package ubus

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// credentials say who a client is.
type credentials struct {
	pid         int32
	uid, gid    uint32
	groups      []uint32 // supplementary
	user, group string
}

// peerCredentials asks the kernel who connected. A uid or gid without a name
// is an error, as for ubusd.
func peerCredentials(conn *net.UnixConn) (credentials, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return credentials{}, err
	}
	var ucred *unix.Ucred
	var sysErr error
	if err = raw.Control(func(fd uintptr) {
		ucred, sysErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err == nil {
		err = sysErr
	}
	if err != nil {
		return credentials{}, fmt.Errorf("SO_PEERCRED: %w", err)
	}
	c := credentials{pid: ucred.Pid, uid: ucred.Uid, gid: ucred.Gid}
	u, err := user.LookupId(strconv.Itoa(int(c.uid)))
	if err != nil {
		return c, fmt.Errorf("uid %d: %w", c.uid, err)
	}
	g, err := user.LookupGroupId(strconv.Itoa(int(c.gid)))
	if err != nil {
		return c, fmt.Errorf("gid %d: %w", c.gid, err)
	}
	c.user, c.group = u.Username, g.Name
	if c.uid != 0 {
		if c.groups, err = peerGroups(raw); err != nil {
			return c, fmt.Errorf("SO_PEERGROUPS: %w", err)
		}
	}
	return c, nil
}

// peerGroups asks the kernel for the supplementary groups that who connected
// had at that moment.
func peerGroups(raw syscall.RawConn) (groups []uint32, err error) {
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) {
		size := uint32(0) // bytes; ERANGE tells how many are needed
		for range 3 {
			groups = make([]uint32, size/4)
			_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
				uintptr(unsafe.Pointer(unsafe.SliceData(groups))), uintptr(unsafe.Pointer(&size)), 0)
			if errno != unix.ERANGE {
				break
			}
		}
		groups = groups[:min(int(size/4), len(groups))]
	})
	if err == nil && errno != 0 {
		err = errno
	}
	return groups, err
}

// aclKind is what an access list entry allows.
type aclKind uint8

const (
	aclAccess aclKind = iota
	aclPublish
	aclSubscribe
	aclListen
	aclSend
)

// aclWho is the user or group that an access list file is for.
type aclWho struct {
	isGroup bool
	id      uint32
	name    string
}

func (w aclWho) kind() string {
	if w.isGroup {
		return "group"
	}
	return "user"
}

func (w aclWho) is(c *credentials) bool {
	if w.isGroup {
		return w.id == c.gid || slices.Contains(c.groups, w.id)
	}
	return w.id == c.uid
}

type aclEntry struct {
	who     aclWho
	kind    aclKind
	name    string // object or event; a final * makes it a prefix
	methods []string
	private Table // what ubus only hands on
}

// accessList is the sum of all files; immutable.
type accessList struct {
	entries []aclEntry
}

// allows says whether the client may do something with the object or event of
// that name. Root may do everything.
func (l *accessList) allows(c *credentials, kind aclKind, name, method string) bool {
	if c.uid == 0 {
		return true
	}
	for i := range l.entries {
		e := &l.entries[i]
		if e.kind != kind || !e.who.is(c) || !matchACL(e.name, name) {
			continue
		}
		if kind != aclAccess || slices.Contains(e.methods, method) || slices.Contains(e.methods, "*") {
			return true
		}
	}
	return false
}

func matchACL(pattern, name string) bool {
	if p, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, p)
	}
	return pattern == name
}

// loadAccessList reads the *.json files of dir; nil when there are none. A file
// that others could have written, or that cannot be read, is left out with a
// log line.
func loadAccessList(dir string, log *slog.Logger) *accessList {
	names, _ := filepath.Glob(filepath.Join(dir, "*.json"))
	if len(names) == 0 {
		return nil
	}
	l := &accessList{}
	for _, name := range names {
		entries, err := loadAccessFile(name)
		if err != nil {
			log.Warn("ubus broker: access list ignored", "file", name, "err", err)
			continue
		}
		l.entries = append(l.entries, entries...)
	}
	return l
}

func loadAccessFile(name string) ([]aclEntry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || sys.Uid != 0 || sys.Gid != 0 {
		return nil, fmt.Errorf("owner is not root:root")
	}
	if st.Mode().Perm()&0o023 != 0 || !st.Mode().IsRegular() {
		return nil, fmt.Errorf("mode %v", st.Mode())
	}
	if st.Size() > MaxMessage {
		return nil, fmt.Errorf("%d bytes", st.Size())
	}
	text := make([]byte, st.Size())
	n, err := f.ReadAt(text, 0)
	if err != nil && n < len(text) {
		return nil, err
	}
	t, err := FromJSON(text)
	if err != nil {
		return nil, err
	}
	return parseAccessFile(t)
}

// parseAccessFile reads the content of one access list file.
func parseAccessFile(t Table) ([]aclEntry, error) {
	var who aclWho
	if name, ok := t.String("user"); ok {
		who = aclWho{name: name}
		if u, err := user.Lookup(name); err == nil {
			who.id = parseID(u.Uid)
		}
	} else if name, ok := t.String("group"); ok {
		who = aclWho{name: name, isGroup: true}
		if g, err := user.LookupGroup(name); err == nil {
			who.id = parseID(g.Gid)
		}
	} else {
		return nil, fmt.Errorf("neither user nor group")
	}
	var entries []aclEntry
	access, _ := t.Table("access")
	for _, f := range access {
		rule, ok := f.Value.(Table)
		if !ok {
			continue
		}
		methods, _ := rule.Array("methods")
		private, _ := rule.Table("acl")
		entries = append(entries, aclEntry{who: who, kind: aclAccess, name: f.Name, methods: methods.Strings(), private: private})
	}
	for key, kind := range map[string]aclKind{"publish": aclPublish, "subscribe": aclSubscribe, "listen": aclListen, "send": aclSend} {
		list, _ := t.Array(key)
		for _, name := range list.Strings() {
			entries = append(entries, aclEntry{who: who, kind: kind, name: name})
		}
	}
	return entries, nil
}

// parseID reads an id of the user database, which is always a number.
func parseID(s string) uint32 {
	id, _ := strconv.ParseUint(s, 10, 32)
	return uint32(id)
}
