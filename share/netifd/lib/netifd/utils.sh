# shellcheck shell=dash disable=SC3043
# utils.sh: what protocol scripts and netifd-proto.sh share.
# Part of netbraid. Sourced, after jshn.sh.

# append VAR VALUE [SEPARATOR]: VALUE at the end of VAR; a space between them
# if both are something.
append() {
	eval "$1=\${$1:+\${$1}\${2:+\"\${3:- }\"}}\${2-}"
}

# set_default VAR VALUE: VALUE if VAR is empty.
set_default() {
	eval "$1=\${$1:-\$2}"
}

# add_default_handler FUNC: a FUNC that does nothing, if there is none.
add_default_handler() {
	command -v "$1" >/dev/null 2>&1 || eval "$1() { return 0; }"
}

# config_add_TYPE NAME[:VALIDATOR]: an option that a protocol takes, as a pair
# of name and blobmsg type number (array 1, string 3, int32 5, bool 7).
_config_add() {
	json_add_array ""
	json_push_string "$1"
	json_push_int "$2"
	json_close_array
}

config_add_array() {
	_config_add "$1" 1
}

config_add_string() {
	_config_add "$1" 3
}

config_add_int() {
	_config_add "$1" 5
}

config_add_boolean() {
	_config_add "$1" 7
}
