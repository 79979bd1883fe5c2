package netifd

import "embed"

// Files is the library: lib/functions.sh, lib/functions/network.sh,
// lib/config/uci.sh, lib/netifd/netifd-proto.sh, lib/netifd/utils.sh and
// usr/share/libubox/jshn.sh, to be installed under the same paths.
//
//go:embed lib usr
var Files embed.FS
