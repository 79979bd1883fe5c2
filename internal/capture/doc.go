// Package capture holds the proof that netbraid gives what netifd gives: it
// takes netbraid in a real network namespace through runs that were recorded
// with netifd, step by step, over the ubus, and compares the answers of
// network.interface and network.device and the state of the kernel field by
// field. What is accepted to differ stands in one table, with its reason
// (accepted_test.go). There are only tests here.
//
// testdata/RUN/STEP.txtar is one recorded moment: the answers as JSON, the
// kernel as `ip` printed it, and the events up to then; testdata/RUN/network
// is the configuration of the run.
package capture
