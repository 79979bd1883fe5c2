// Package helper runs the programs of protocol handlers: each in a session of
// its own, its output in the log, bounded in line length and rate, its end
// watched. It ends a program with its process group and with all that has
// descended from it, also what has made a session of its own: every program
// carries a mark in its environment that its descendants inherit, and /proc
// tells who has it. (A subreaper would see those too that clean their
// environment, but would have to reap the children of everybody else in the
// process.) What must not live here: when a program is run, and what its
// messages mean.
package helper
