// Package jshn is OpenWrt's jshn command: it turns JSON into calls of a shell
// library (json_add_string and the like), and that library's variables back
// into JSON. It reads JSON as leniently as json-c does, which the original
// uses, and prints numbers and strings as that does.
//
// What must not live here: the shell library, and anything of netbraid. Scripts
// start this command hundreds of times, so it imports little.
package jshn
