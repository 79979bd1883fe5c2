package monitor

import "testing"

func TestSumDrops(t *testing.T) {
	const proc = `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000031ebcbf3 0   0          00000000 0        0        0     2        0        4
000000002c30f4d7 0   77         00020551 0        0        0     2        12       1434
000000002c30f4d8 0   78         00020551 0        0        0     2        5        1435
short line
000000002c30f4d9 0   79         00020551 0        0        0     2        x        1436
`
	if n := sumDrops(proc, map[string]bool{"1434": true, "1436": true}); n != 12 {
		t.Errorf("%d, not 12", n)
	}
	if n := sumDrops("", nil); n != 0 {
		t.Errorf("%d, not 0", n)
	}
}

// TestRealDrops: the counter is the kernel's, of our own sockets.
func TestRealDrops(t *testing.T) {
	if _, err := newDrops(-1).read(); err != nil {
		t.Error(err)
	}
}
