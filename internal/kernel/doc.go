// Package kernel is the shell around one network namespace: it reads
// notifications and dumps into events, and it is the one place that writes to
// the kernel (rtnetlink and sysctl). It decides nothing.
package kernel
