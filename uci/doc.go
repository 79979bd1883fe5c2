// Package uci reads, edits and writes OpenWrt's UCI configuration files
// (https://openwrt.org/docs/guide-user/base-system/uci): the grammar, the
// anonymous section names, the error positions and the output of show, get and
// export are those of the uci command (checked against recorded runs of it).
//
// Two views of a file exist. [Package] is its meaning: sections, options,
// values, each with its line; [Parse] and [Load] make one. [Document] is the
// meaning together with the text: it is edited in place, and comments, order
// and every line that an edit does not concern come out byte for byte.
//
// [Store] adds the changes that are not committed yet ([Change]): the delta files
// of the uci command (/tmp/.uci), with its locks, so that both may be used side
// by side.
//
// What a section or option stands for is not decided here, nor is the command
// line, which is package ucicmd.
package uci
