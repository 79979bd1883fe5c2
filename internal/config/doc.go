// Package config turns UCI files into the typed configuration that the rest of
// netbraid works on, and says precisely what is wrong with a file (file, line,
// option, reason, what is allowed). It also compares two configurations. It
// reads no file itself but through package uci, and knows nothing of the
// running system.
package config
