# shellcheck shell=dash disable=SC3043
# functions.sh: helpers for scripts around the UCI configuration, for POSIX sh
# with local (dash, busybox ash).
# Part of netbraid. Sourced, never run.
#
# What config_load has read is in variables:
#   CONFIG_SECTIONS                 names of all sections, in order
#   CONFIG_NUM_SECTIONS             how many
#   CONFIG_SECTION                  the last
#   CONFIG_<section>_TYPE           its type
#   CONFIG_<section>_<option>       a value; of a list all, LIST_SEP between
#   CONFIG_<section>_<list>_ITEM<n> value n of a list, from 1
#   CONFIG_<section>_<list>_LENGTH  how many values
#   CONFIG_LIST_STATE               every <section>_<list>
# Names that begin with _cfg_ are the library's own.

# shellcheck disable=SC2034 # for those who source this
N='
'
LIST_SEP=' '
LOAD_STATE=1

debug() {
	${DEBUG:-:} "$@"
}

# append, prepend VAR VALUE [SEPARATOR]: VALUE behind, or before, what VAR has;
# a space between them if both are something.
append() {
	eval "$1=\${$1:+\${$1}\${2:+\"\${3:- }\"}}\${2-}"
}

prepend() {
	eval "$1=\${2-}\${$1:+\"\${3:- }\"\${$1}}"
}

# list_contains VAR WORD: whether WORD is one of the words in VAR.
list_contains() {
	local _cfg_words
	eval "_cfg_words=\" \${$1-} \""
	case $_cfg_words in
	*" $2 "*) return 0 ;;
	*) return 1 ;;
	esac
}

# reset_cb: no callbacks. A script defines its own before config_load:
# config_cb TYPE NAME at each section (and without arguments after the last),
# option_cb NAME VALUE, list_cb NAME VALUE.
reset_cb() {
	config_cb() { return 0; }
	option_cb() { return 0; }
	list_cb() { return 0; }
}
reset_cb

# config_load PACKAGE: read a package into the variables above. With
# CONFIG_APPEND sections are added to those of the last one. The status is that
# of uci.
config_load() {
	[ -n "${IPKG_INSTROOT-}" ] && return 0
	uci_load "$@"
}

# package, config, option, list: what the lines of a package do.
package() {
	return 0
}

config() {
	CONFIG_NUM_SECTIONS=$((${CONFIG_NUM_SECTIONS:-0} + 1))
	CONFIG_SECTION=${2:-cfg$CONFIG_NUM_SECTIONS}
	append CONFIG_SECTIONS "$CONFIG_SECTION"
	config_set "$CONFIG_SECTION" TYPE "$1"
	[ -n "${NO_CALLBACK-}" ] || config_cb "$1" "$CONFIG_SECTION"
}

option() {
	local _cfg_name="$1"
	shift
	config_set "$CONFIG_SECTION" "$_cfg_name" "$*"
	[ -n "${NO_CALLBACK-}" ] || option_cb "$_cfg_name" "$*"
}

list() {
	local _cfg_name="$1" _cfg_len
	shift
	config_get _cfg_len "$CONFIG_SECTION" "${_cfg_name}_LENGTH" 0
	[ "$_cfg_len" -gt 0 ] || append CONFIG_LIST_STATE "${CONFIG_SECTION}_$_cfg_name"
	_cfg_len=$((_cfg_len + 1))
	config_set "$CONFIG_SECTION" "${_cfg_name}_ITEM$_cfg_len" "$*"
	config_set "$CONFIG_SECTION" "${_cfg_name}_LENGTH" "$_cfg_len"
	append "CONFIG_${CONFIG_SECTION}_$_cfg_name" "$*" "$LIST_SEP"
	[ -n "${NO_CALLBACK-}" ] || list_cb "$_cfg_name" "$*"
}

# _cfg_set NAME VALUE: what no variable can be called is left alone.
_cfg_set() {
	case $1 in
	'' | [0-9]* | *[!A-Za-z0-9_]*) return 1 ;;
	esac
	eval "$1=\$2"
}

# config_set SECTION OPTION VALUE, config_unset SECTION OPTION: the variable
# only, not the file.
config_set() {
	_cfg_set "CONFIG_$1_$2" "${3-}"
}

config_unset() {
	config_set "$1" "$2" ""
}

# config_get VAR SECTION OPTION [DEFAULT]: the value, or DEFAULT if it is empty.
# config_get SECTION OPTION prints it.
config_get() {
	local _cfg_print=''
	if [ -z "${3-}" ]; then
		case $1$2 in
		*[!A-Za-z0-9_]*) _cfg_print=${4-} ;;
		*) eval "_cfg_print=\${CONFIG_$1_$2:-\${4-}}" ;;
		esac
		printf '%s\n' "$_cfg_print"
		return 0
	fi
	case $2$3 in
	*[!A-Za-z0-9_]*) _cfg_set "$1" "${4-}" ;;
	*) eval "$1=\${CONFIG_$2_$3:-\${4-}}" ;;
	esac
}

# get_bool VALUE [DEFAULT]: prints 1, 0, or DEFAULT if VALUE is neither.
get_bool() {
	case ${1-} in
	1 | on | true | yes | enabled) printf 1 ;;
	0 | off | false | no | disabled) printf 0 ;;
	*) printf %s "${2-}" ;;
	esac
}

# config_get_bool VAR SECTION OPTION [DEFAULT]: 1, 0, or DEFAULT.
config_get_bool() {
	local _cfg_bool
	config_get _cfg_bool "$2" "$3" "${4-}"
	case $_cfg_bool in
	1 | on | true | yes | enabled) _cfg_bool=1 ;;
	0 | off | false | no | disabled) _cfg_bool=0 ;;
	*) _cfg_bool=${4-} ;;
	esac
	eval "$1=\$_cfg_bool"
}

# config_foreach FUNC [TYPE [ARG...]]: FUNC SECTION ARG... for every section, or
# every section of TYPE.
config_foreach() {
	[ "$#" -ge 1 ] || return 0
	local _cfg_func="$1" _cfg_type="${2-}" _cfg_rest="${CONFIG_SECTIONS-}" _cfg_section _cfg_is
	shift
	[ "$#" -eq 0 ] || shift
	while [ -n "$_cfg_rest" ]; do
		_cfg_section=${_cfg_rest%% *}
		_cfg_rest=${_cfg_rest#"$_cfg_section"}
		_cfg_rest=${_cfg_rest# }
		config_get _cfg_is "$_cfg_section" TYPE
		[ -z "$_cfg_type" ] || [ "$_cfg_is" = "$_cfg_type" ] || continue
		eval "$_cfg_func \"\$_cfg_section\" \"\$@\""
	done
}

# config_list_foreach SECTION LIST FUNC [ARG...]: FUNC VALUE ARG... for every
# value of a list.
config_list_foreach() {
	[ "$#" -ge 3 ] || return 0
	local _cfg_section="$1" _cfg_name="$2" _cfg_func="$3" _cfg_len _cfg_i=0 _cfg_value
	shift 3
	config_get _cfg_len "$_cfg_section" "${_cfg_name}_LENGTH" 0
	while [ "$_cfg_i" -lt "$_cfg_len" ]; do
		_cfg_i=$((_cfg_i + 1))
		config_get _cfg_value "$_cfg_section" "${_cfg_name}_ITEM$_cfg_i"
		eval "$_cfg_func \"\$_cfg_value\" \"\$@\""
	done
}

# include FOLDER: source every FOLDER/*.sh.
include() {
	local _cfg_file
	for _cfg_file in "$1"/*.sh; do
		# shellcheck disable=SC1090
		[ ! -f "$_cfg_file" ] || . "$_cfg_file"
	done
}

# board_name: prints the board of the machine.
board_name() {
	if [ -e /tmp/sysinfo/board_name ]; then
		cat /tmp/sysinfo/board_name
	else
		echo generic
	fi
}

# cmdline_get_var NAME: prints the value that the kernel command line gives it.
cmdline_get_var() {
	local _cfg_line _cfg_word
	read -r _cfg_line </proc/cmdline || return 0
	for _cfg_word in $_cfg_line; do
		case $_cfg_word in
		"$1="*) printf '%s\n' "${_cfg_word#*=}" ;;
		esac
	done
}

# user_exists NAME, group_exists NAME
user_exists() {
	grep -qs "^$1:" "${IPKG_INSTROOT-}/etc/passwd"
}

group_exists() {
	grep -qs "^$1:" "${IPKG_INSTROOT-}/etc/group"
}

for _cfg_file in "${NETIFD_MAIN_DIR:-/lib/netifd}/../config/uci.sh" /lib/config/uci.sh ../../config/uci.sh; do
	[ -f "$_cfg_file" ] || continue
	# shellcheck disable=SC1090
	. "$_cfg_file"
	break
done
unset _cfg_file
