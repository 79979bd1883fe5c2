package vpptest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"netbraid/rtnl"
)

// tap is a companion on the real kernel. It goes with its file, as VPP's do.
type tap struct {
	file  *os.File // nil for a VLAN on another one's
	netns string
	name  string
	index uint32
}

// nsFile is the file of a namespace as linux-cp names it.
func nsFile(netns string) string {
	if strings.HasPrefix(netns, "/") {
		return netns
	}
	return "/run/netns/" + netns
}

// inNS runs f in a namespace; "" is the process' own.
func inNS(netns string, f func() error) error {
	if netns == "" {
		return errors.New("no namespace: a test has to say in which one companions are made")
	}
	ns, err := rtnl.OpenNS(nsFile(netns))
	if err != nil {
		return err
	}
	defer ns.Close()
	return ns.Do(f)
}

// makeTap makes a companion. One of a sub-interface is a VLAN on its parent's.
func makeTap(netns, name string, tun bool, mac [6]byte, mtu int, parent *pair, v *vif) (*tap, error) {
	t := &tap{netns: netns, name: name}
	err := inNS(netns, func() (err error) {
		if parent != nil {
			err = makeVLAN(parent.name, name, v)
		} else {
			err = t.open(tun, mac, mtu)
		}
		if err != nil {
			return err
		}
		link, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		t.index = uint32(link.Index)
		if v.up { // what VPP has is copied once
			return ip("link", "set", "dev", name, "up")
		}
		return nil
	})
	if err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// open makes the tap in the namespace of the thread.
func (t *tap) open(tun bool, mac [6]byte, mtu int) error {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open /dev/net/tun: %w", err)
	}
	t.file = os.NewFile(uintptr(fd), t.name)
	req, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if tun {
		flags = unix.IFF_TUN | unix.IFF_NO_PI
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fmt.Errorf("make %s: %w", t.name, err)
	}
	set := []string{"link", "set", "dev", t.name}
	if !tun {
		set = append(set, "address", net.HardwareAddr(mac[:]).String())
	}
	if mtu > 0 {
		set = append(set, "mtu", fmt.Sprint(mtu))
	}
	return ip(set...)
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// makeVLAN makes a companion of a sub-interface, or takes the link that has
// its name already.
func makeVLAN(parent, name string, v *vif) error {
	if _, err := net.InterfaceByName(name); err == nil {
		return nil
	}
	proto, id := "802.1Q", v.outer
	if v.inner != 0 {
		id = v.inner
	} else if v.flags&subDot1AD != 0 {
		proto = "802.1ad"
	}
	return ip("link", "add", "link", parent, "name", name, "type", "vlan", "protocol", proto, "id", fmt.Sprint(id))
}

// carrier sets what the link shows. A VLAN has that of its parent.
func (t *tap) carrier(on bool) error {
	if t.file == nil {
		return nil
	}
	v := int32(0)
	if on {
		v = 1
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, t.file.Fd(), unix.TUNSETCARRIER, uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Close removes the link.
func (t *tap) Close() {
	if t.file != nil {
		t.file.Close()
		return
	}
	_ = inNS(t.netns, func() error { return ip("link", "del", "dev", t.name) }) // its parent may have gone
}
