// Package vmtest holds the tests that need the test kernel: features that the
// host's kernel may lack (802.1Q, bridge VLAN filtering, dummy, VRF, netem, PPP,
// the openvswitch datapath, ...). Command vm, in the folder below, boots that
// kernel and runs a compiled test in it; `make vmtest` does it for all of them.
//
// What lives here: how a test asks for the kernel (Require, InVM) and a smoke
// test of the kernel itself. What must not: anything that runs on the host's
// kernel as well (that is package nstest's), and anything of the runner.
package vmtest
