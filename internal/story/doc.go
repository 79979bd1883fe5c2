// Package story plays stories of what netbraid does: a network, a
// configuration, what happens, and what must then be true. They are txtar
// files in testdata/story: a comment that says what the story is about, the
// configurations (network, network.2, …), and the story itself (the file
// "story"), one command a line. Each is played twice: with the daemon in a
// namespace of the real kernel, and with the core on the simulated kernel in
// virtual time. What others do is the same rtnetlink bytes in both, and both
// must end in the same state.
//
// What lives here: the two worlds, the commands and the expectations. What
// must not: behaviour of netbraid that no story shows, and faults of the kernel
// (those are in the simulations of core and sim).
package story
