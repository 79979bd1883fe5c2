// Package dryrun answers what a configuration would do: a second core is given
// the kernel as it is and what is ours in it, and its operations go into a copy
// of the kernel's state instead of the kernel. Dataplanes are looked at and compared
// with two configurations. Nothing is written anywhere.
package dryrun
