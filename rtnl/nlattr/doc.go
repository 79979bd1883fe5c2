// Package nlattr reads and writes the attributes of netlink messages (struct
// nlattr, linux/netlink.h), of whatever family: a cursor whose first defect
// sticks, and functions that append. It does no I/O. What an attribute means
// stands in the packages of the families.
package nlattr
