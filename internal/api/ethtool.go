package api

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtool is a socket for the ioctl SIOCETHTOOL (linux/ethtool.h) in the
// namespace that it was opened in. Own code, because the libraries for this
// have the number of link modes built in, and kernels have more each year.
type ethtool struct{ fd int }

func openEthtool() (*ethtool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a socket for ethtool: %w", err)
	}
	return &ethtool{fd}, nil
}

func (e *ethtool) close() { unix.Close(e.fd) }

// request is a struct ifreq whose data points to an ethtool command.
type request struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte // the rest of the union
}

// do sends the command in b, which the kernel overwrites with the answer. b
// must be as long as the command says.
func (e *ethtool) do(device string, b []byte) error {
	if len(device) >= unix.IFNAMSIZ {
		return unix.ENODEV
	}
	req := request{data: unsafe.Pointer(unsafe.SliceData(b))}
	copy(req.name[:], device)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(e.fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return errno
	}
	return nil
}

// words makes a command of 32 bit words and room for more octets.
func words(room int, w ...uint32) []byte {
	b := make([]byte, len(w)*4+room)
	for i, v := range w {
		binary.NativeEndian.PutUint32(b[i*4:], v)
	}
	return b
}

func word(b []byte, at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }

// value does a command whose answer is one number (struct ethtool_value).
func (e *ethtool) value(device string, cmd uint32) (uint32, error) {
	b := words(0, cmd, 0)
	err := e.do(device, b)
	return word(b, 4), err
}

// gro tells whether generic receive offload is on; ok is false when the
// device cannot say.
func (e *ethtool) gro(device string) (on, ok bool) {
	v, err := e.value(device, unix.ETHTOOL_GGRO)
	return v != 0, err == nil
}

// The layout of struct ethtool_link_settings.
const (
	settingsLen     = 48
	settingsSpeed   = 4
	settingsDuplex  = 8
	settingsAutoneg = 11
	settingsNwords  = 15
	duplexHalf      = 0
	maxNwords       = 127
)

// linkSettings asks for the settings of the wire; nil when the driver has
// none.
func (e *ethtool) linkSettings(device string, names modeNames) *LinkSettings {
	// The first call tells, as a negative number, how many words there are.
	b := words(settingsLen-4+3*maxNwords*4, unix.ETHTOOL_GLINKSETTINGS)
	if e.do(device, b) != nil {
		return nil
	}
	n := -int(int8(b[settingsNwords]))
	if n <= 0 {
		return nil
	}
	b = words(settingsLen-4+3*n*4, unix.ETHTOOL_GLINKSETTINGS)
	b[settingsNwords] = byte(n)
	if e.do(device, b) != nil || int(int8(b[settingsNwords])) != n {
		return nil
	}
	mask := func(i int) modeMask {
		m := make(modeMask, n)
		for k := range m {
			m[k] = word(b, settingsLen+(i*n+k)*4)
		}
		return m
	}
	s := &LinkSettings{Speed: word(b, settingsSpeed), Half: b[settingsDuplex] == duplexHalf, Autoneg: b[settingsAutoneg] != 0,
		Supported: mask(0), Advertising: mask(1), Partner: mask(2), PauseAutoneg: true, names: names}
	p := words(0, unix.ETHTOOL_GPAUSEPARAM, 0, 0, 0)
	if e.do(device, p) == nil {
		s.PauseAutoneg, s.RxPause, s.TxPause = word(p, 4) != 0, word(p, 8) != 0, word(p, 12) != 0
	}
	return s
}

// feature tells whether a feature of the device is on.
func (e *ethtool) feature(device string, bit int) bool {
	const block = 16 // struct ethtool_get_features_block: available, requested, active, never_changed
	if bit < 0 {
		return false
	}
	n := bit/32 + 1
	b := words(n*block, unix.ETHTOOL_GFEATURES, uint32(n))
	if e.do(device, b) != nil {
		return false
	}
	return word(b, 8+(n-1)*block+8)&(1<<(bit%32)) != 0
}

// The string sets (enum ethtool_stringset) and the limits on them.
const (
	setFeatures  = 4
	setLinkModes = 9
	stringLen    = 32 // ETH_GSTRING_LEN
	maxStrings   = 4096
)

// strings reads the kernel's names: of the link modes, and which feature
// hw-tc-offload is. They are the same for all devices. false when the device
// gives none.
func (e *ethtool) strings(device string) (modes modeNames, offload int, ok bool) {
	offload = -1
	for i, n := range e.stringSet(device, setFeatures) {
		if n == "hw-tc-offload" {
			offload = i
		}
	}
	names := e.stringSet(device, setLinkModes)
	return parseModes(names), offload, len(names) > 0
}

func (e *ethtool) stringSet(device string, set uint32) []string {
	// struct ethtool_sset_info: cmd, reserved, sset_mask (64 bit), data.
	info := words(4, unix.ETHTOOL_GSSET_INFO, 0, 0, 0)
	binary.NativeEndian.PutUint64(info[8:], 1<<set)
	if e.do(device, info) != nil || binary.NativeEndian.Uint64(info[8:]) == 0 {
		return nil
	}
	n := word(info, 16)
	if n == 0 || n > maxStrings {
		return nil
	}
	b := words(int(n)*stringLen, unix.ETHTOOL_GSTRINGS, set, n)
	if e.do(device, b) != nil {
		return nil
	}
	out := make([]string, min(n, word(b, 8)))
	for i := range out {
		s := b[12+i*stringLen : 12+(i+1)*stringLen]
		if end := bytes.IndexByte(s, 0); end >= 0 {
			s = s[:end]
		}
		out[i] = string(s)
	}
	return out
}
