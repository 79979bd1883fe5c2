// Package demo shows netbraid at work in a network of its own: two network
// namespaces without names, joined by three virtual cables, with a real daemon
// in one of them. What lives here: the story, and the world that it plays in.
// What must not: anything of the daemon; it is run as the user would run it.
package demo
