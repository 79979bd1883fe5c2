// Package getopt walks short command line options as getopt(3) of the GNU C
// library does, with its error texts, for the commands that take the place of
// OpenWrt's. What must not live here: what an option means.
package getopt
