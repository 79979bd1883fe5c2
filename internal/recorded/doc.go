// Package recorded reads what was recorded for tests to hold against: files of
// JSON values, one after the other, gzipped when they are called so. What the
// values mean is for the packages that have them.
package recorded
