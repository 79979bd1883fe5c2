// Package device is the graph of devices: which there are, who uses and who
// claims them, what each is built on, and what is therefore wanted of the
// link behind each. It turns observed links into the device events that the
// netifd design names. It is pure and writes nothing.
package device
