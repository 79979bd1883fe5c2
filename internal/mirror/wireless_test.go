package mirror_test

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"netbraid/internal/mirror"
	"netbraid/rtnl"
)

// TestWirelessEvents: an event of the wireless extensions is an RTM_NEWLINK with
// a name and IFLA_WIRELESS alone. It says nothing of the link's MTU, address,
// master or carrier.
func TestWirelessEvents(t *testing.T) {
	s := newScript(t, mirror.Params{})
	link := rtnl.Link{Index: 3, Name: "wlan0", Flags: unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP, MTU: 1500, Carrier: true, Master: 2, ParentNSID: -1}
	s.answer(rtnl.AppendLinkInfo(nil, unix.RTM_NEWLINK, 0, 0, &link))
	before := *s.e.Link(3)
	s.h.take()
	msg := binary.NativeEndian.AppendUint32(nil, 0) // the length
	msg = binary.NativeEndian.AppendUint16(msg, unix.RTM_NEWLINK)
	msg = append(msg, make([]byte, 2+8+4)...) // of nlmsghdr; family and type
	msg = binary.NativeEndian.AppendUint32(msg, 3)
	msg = binary.NativeEndian.AppendUint32(msg, link.Flags)
	msg = append(msg, 0, 0, 0, 0, 10, 0, unix.IFLA_IFNAME, 0, 'w', 'l', 'a', 'n', '0', 0, 0, 0)
	msg = append(msg, 8, 0, unix.IFLA_WIRELESS, 0, 1, 2, 3, 4)
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	s.notify(msg)
	s.want("an association")
	if now := *s.e.Link(3); now != before || s.e.Stats().Malformed > 0 {
		t.Errorf("the link is %+v now, was %+v", now, before)
	}
}
