// Package monitor prints what the kernel announces about the network, at full
// speed, and says where something is missing. What lives here: the bounded
// queue between the reading and the printing, and the forms of a line. What
// must not: any opinion on what the notifications mean.
package monitor
