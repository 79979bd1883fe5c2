// Package model has the comparable values that every part of the core speaks:
// namespace ids, keys of kernel objects, device settings. It holds no state,
// decides nothing and does no I/O.
package model
