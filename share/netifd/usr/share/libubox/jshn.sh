# shellcheck shell=dash disable=SC3043
# jshn.sh: JSON in shell variables, for POSIX sh with local (dash, busybox ash).
# Part of netbraid. Sourced, never run.
#
# A namespace is a prefix of variable names, JSON_PREFIX (none at first). Below
# it, with J_V as the root table and J_T<n>, J_A<n> as the other objects and
# arrays:
#   <table>_<key>    value; of an object or array the name of its table
#   T_<table>_<key>  type: string int boolean double null object array
#   N_<table>_<key>  the key as it was written, where <key> had to differ
#   K_<table>        its keys in order, a space between them
#   U_<table>        the table it is in
#   S_<table>        of an array: how many elements it has had
#   JSON_CUR         the current table     JSON_SEQ  the last table number
#   JSON_UNSET       every table but J_V
# What the program jshn reads of these is exported. Only json_load,
# json_load_file and json_dump start a program: jshn, once.
#
# Names that begin with _json_ are the library's own.

# Variables by name.
_get_var() {
	eval "$1=\${$2:-\${3-}}"
}

_set_var() {
	eval "$1=\$2"
}

_json_get_var() {
	eval "$1=\${${JSON_PREFIX-}$2-}"
}

_json_set_var() {
	eval "${JSON_PREFIX-}$1=\$2"
}

# _json_key NAME: _json_k is NAME with _ for all that no variable name can have.
_json_key() {
	case $1 in
	*[!A-Za-z0-9_]*) ;;
	*)
		_json_k=$1
		return 0
		;;
	esac
	local _json_rest="$1" _json_head
	_json_k=
	while :; do
		_json_head=${_json_rest%%[!A-Za-z0-9_]*}
		[ "$_json_head" = "$_json_rest" ] && break
		_json_rest=${_json_rest#"$_json_head"}
		_json_rest=${_json_rest#?}
		_json_k=${_json_k}${_json_head}_
	done
	_json_k=$_json_k$_json_rest
}

# _json_find NAME: _json_v is the name, without namespace, of what NAME stands
# for in the current table.
_json_find() {
	local _json_k
	_json_key "$1"
	eval "_json_v=\${${JSON_PREFIX-}JSON_CUR:-J_V}_\$_json_k"
}

_json_warn() {
	[ -n "${_json_no_warning-}" ] || echo "WARNING: $1" >&2
}

# _json_put TYPE NAME VALUE: one more entry of the current table.
_json_put() {
	local _json_p="${JSON_PREFIX-}" _json_c _json_k _json_l
	eval "_json_c=\${${_json_p}JSON_CUR:-J_V}"
	case $_json_c in
	J_A*)
		eval "_json_k=\$((\${${_json_p}S_$_json_c:-0} + 1))"
		eval "${_json_p}S_$_json_c=\$_json_k"
		;;
	*)
		_json_key "$2"
		if [ "$_json_k" = "$2" ]; then
			unset "${_json_p}N_${_json_c}_$_json_k"
		else
			export -- "${_json_p}N_${_json_c}_$_json_k=$2"
		fi
		;;
	esac
	eval "_json_l=\${${_json_p}K_$_json_c-}"
	case " $_json_l " in
	*" $_json_k "*) ;;
	*) export -- "${_json_p}K_$_json_c=${_json_l:+$_json_l }$_json_k" ;;
	esac
	export -- "${_json_p}${_json_c}_$_json_k=$3" "${_json_p}T_${_json_c}_$_json_k=$1"
}

# _json_open TYPE LETTER NAME: a new table in the current one; then it is the
# current one.
_json_open() {
	local _json_p="${JSON_PREFIX-}" _json_up _json_n _json_t
	eval "_json_up=\${${_json_p}JSON_CUR:-J_V} _json_n=\$((\${${_json_p}JSON_SEQ:-0} + 1))"
	_json_t=J_$2$_json_n
	_json_put "$1" "$3" "$_json_t"
	export -- "${_json_p}K_$_json_t="
	eval "${_json_p}U_$_json_t=\$_json_up ${_json_p}JSON_SEQ=\$_json_n ${_json_p}JSON_CUR=\$_json_t"
	eval "${_json_p}JSON_UNSET=\"\${${_json_p}JSON_UNSET-} \$_json_t\""
}

# _json_up: back to the parent; the root has none and stays.
_json_up() {
	local _json_c
	eval "_json_c=\${${JSON_PREFIX-}JSON_CUR:-J_V}"
	eval "${JSON_PREFIX-}JSON_CUR=\${${JSON_PREFIX-}U_$_json_c:-J_V}"
}

# json_set_namespace NEW [OLDVAR]: work below the prefix NEW from now on, and
# say in OLDVAR which it was.
json_set_namespace() {
	case $1 in
	[0-9]* | *[!A-Za-z0-9_]*)
		_json_warn "'$1' cannot be a namespace"
		return 1
		;;
	esac
	[ -z "${2-}" ] || eval "$2=\${JSON_PREFIX-}"
	JSON_PREFIX=$1
}

# json_cleanup: forget everything of the namespace.
json_cleanup() {
	local IFS=' ' _json_p="${JSON_PREFIX-}" _json_t _json_k _json_l
	eval "_json_l=\"J_V \${${_json_p}JSON_UNSET-}\""
	# shellcheck disable=SC2086 # lists of words
	for _json_t in $_json_l; do
		eval "_json_l=\${${_json_p}K_$_json_t-}"
		for _json_k in $_json_l; do
			unset "$_json_p${_json_t}_$_json_k" "${_json_p}T_${_json_t}_$_json_k" "${_json_p}N_${_json_t}_$_json_k"
		done
		unset "${_json_p}K_$_json_t" "${_json_p}U_$_json_t" "${_json_p}S_$_json_t"
	done
	unset "${_json_p}JSON_CUR" "${_json_p}JSON_SEQ" "${_json_p}JSON_UNSET"
}

# json_init: an empty object.
json_init() {
	json_cleanup
	export -- "${JSON_PREFIX-}K_J_V="
}

# _json_read TEXT: prints the commands that make its variables. The kernel takes
# 128 KiB for one argument; jshn reads longer text from a regular file only.
_json_read() {
	local _json_file _json_rc
	if [ "${#1}" -lt 30000 ]; then # characters, of up to four octets
		jshn -r "$1"
		return
	fi
	_json_file=$(mktemp) || return 1
	printf %s "$1" >"$_json_file"
	jshn -R "$_json_file"
	_json_rc=$?
	rm -f "$_json_file"
	return $_json_rc
}

# json_load TEXT, json_load_file FILE: what was there gives way to the object
# in the text. Text that is none changes nothing; jshn says so on stderr.
json_load() {
	eval "$(_json_read "$1")"
}

json_load_file() {
	eval "$(jshn -R "$1")"
}

# json_dump [JSHN-OPTION...]: the text of the whole namespace.
json_dump() {
	jshn "$@" ${JSON_PREFIX:+-p "$JSON_PREFIX"} ${JSON_NONEWLINE:+-n} ${JSON_INDENT:+-i} -w
}

# json_compact, json_pretty: how json_dump writes.
json_compact() {
	JSON_NONEWLINE=1
	JSON_INDENT=
}

json_pretty() {
	JSON_NONEWLINE=
	JSON_INDENT=1
}

# json_add_TYPE NAME VALUE: into the current table. Array elements have no name.
json_add_string() {
	_json_put string "${1-}" "${2-}"
}

json_add_int() {
	_json_put int "${1-}" "${2-}"
}

json_add_boolean() {
	_json_put boolean "${1-}" "${2-}"
}

json_add_double() {
	_json_put double "${1-}" "${2-}"
}

json_add_null() {
	_json_put null "${1-}" ""
}

json_add_object() {
	_json_open object T "${1-}"
}

json_add_array() {
	_json_open array A "${1-}"
}

json_close_object() {
	_json_up
}

json_close_array() {
	_json_up
}

# json_push_TYPE VALUE: into the current table, which must be an array.
_json_push() {
	local _json_c
	eval "_json_c=\${${JSON_PREFIX-}JSON_CUR:-J_V}"
	case $_json_c in
	J_A*) _json_put "$1" "" "$2" ;;
	*)
		_json_warn "Not in an array"
		return 1
		;;
	esac
}

json_push_string() {
	_json_push string "${1-}"
}

json_push_int() {
	_json_push int "${1-}"
}

json_push_boolean() {
	_json_push boolean "${1-}"
}

json_push_double() {
	_json_push double "${1-}"
}

json_push_null() {
	_json_push null ""
}

# json_add_fields NAME[:TYPE][=VALUE]...: several at once; a string without TYPE.
json_add_fields() {
	local _json_name _json_type _json_rc=0
	while [ "$#" -gt 0 ]; do
		_json_name=${1%%=*}
		_json_type=string
		case $_json_name in
		*:*)
			_json_type=${_json_name##*:}
			_json_name=${_json_name%:*}
			;;
		esac
		case $_json_type in
		string | int | boolean | double)
			case $1 in
			*=*) _json_put "$_json_type" "$_json_name" "${1#*=}" ;;
			*) _json_put "$_json_type" "$_json_name" "" ;;
			esac
			;;
		*)
			_json_warn "'$_json_type' is no type of a field"
			_json_rc=1
			;;
		esac
		shift
	done
	return $_json_rc
}

# json_get_index VAR: the place of the current table in the array that it is an
# element of, from 1.
json_get_index() {
	local _json_p="${JSON_PREFIX-}" _json_c _json_l _json_k _json_v
	eval "_json_c=\${${_json_p}JSON_CUR:-J_V}"
	eval "_json_l=\${${_json_p}U_$_json_c-}"
	case $_json_l in
	J_A*) ;;
	*)
		_json_warn "Not inside an array"
		return 1
		;;
	esac
	eval "_json_k=\${${_json_p}S_$_json_l:-0}"
	while [ "$_json_k" -gt 0 ]; do
		eval "_json_v=\${${_json_p}${_json_l}_$_json_k-}"
		[ "$_json_v" = "$_json_c" ] && break
		_json_k=$((_json_k - 1))
	done
	eval "$1=\$_json_k"
}

# json_get_type VAR NAME: its type; nothing there: empty, and 1.
json_get_type() {
	local _json_v
	_json_find "${2-}"
	_json_v=${JSON_PREFIX-}T_$_json_v
	eval "$1=\${$_json_v-}; [ -n \"\${$_json_v-}\" ]"
}

# json_is_a NAME TYPE: whether it is there and of that type.
json_is_a() {
	local _json_t
	json_get_type _json_t "$1" && [ "$_json_t" = "$2" ]
}

# json_get_keys VAR [NAME]: the keys of the current table, or of the table NAME
# in it; those of an array are 1 2 3.
json_get_keys() {
	local _json_v _json_t
	if [ -n "${2-}" ]; then
		json_get_type _json_t "$2"
		case $_json_t in
		object | array) ;;
		*)
			eval "$1="
			return 1
			;;
		esac
		_json_find "$2"
		eval "_json_v=\${${JSON_PREFIX-}$_json_v-}"
	else
		eval "_json_v=\${${JSON_PREFIX-}JSON_CUR:-J_V}"
	fi
	eval "$1=\${${JSON_PREFIX-}K_$_json_v-}"
}

# json_get_values VAR [NAME]: the values of the current table, or of the table
# NAME in it, a space between them.
json_get_values() {
	local _json_dest="$1" _json_v _json_l _json_k _json_x _json_out='' _json_sep=''
	json_get_keys _json_l "${2-}" || {
		eval "$_json_dest="
		return 1
	}
	if [ -n "${2-}" ]; then
		_json_find "$2"
		eval "_json_v=\${${JSON_PREFIX-}$_json_v-}"
	else
		eval "_json_v=\${${JSON_PREFIX-}JSON_CUR:-J_V}"
	fi
	while [ -n "$_json_l" ]; do
		_json_k=${_json_l%% *}
		_json_l=${_json_l#"$_json_k"}
		_json_l=${_json_l# }
		eval "_json_x=\${${JSON_PREFIX-}${_json_v}_$_json_k-}"
		_json_out=$_json_out$_json_sep$_json_x
		_json_sep=' '
	done
	eval "$_json_dest=\$_json_out"
}

# json_get_var VAR NAME [DEFAULT]: its value. Nothing there: DEFAULT; without
# one empty, and 1. An empty value gives DEFAULT too.
json_get_var() {
	local _json_v
	_json_find "${2-}"
	_json_v=${JSON_PREFIX-}$_json_v
	eval "$1=\${$_json_v:-\${3-}}; [ -n \"\${$_json_v+x}\${3+x}\" ]"
}

# json_get_vars NAME[:DEFAULT]...: each into the variable of its name. The
# status is that of the last.
json_get_vars() {
	while [ "$#" -gt 1 ]; do
		_json_get_default "$1"
		shift
	done
	[ "$#" -eq 0 ] || _json_get_default "$1"
}

_json_get_default() {
	case $1 in
	*:*) json_get_var "${1%%:*}" "${1%%:*}" "${1#*:}" ;;
	*) json_get_var "$1" "$1" ;;
	esac
}

# json_select [NAME]: make the object or array NAME the current table; .. is
# the parent, without NAME it is the root. If there is none: 1, and no change.
json_select() {
	local _json_v _json_t
	case ${1-} in
	'')
		_json_set_var JSON_CUR J_V
		return 0
		;;
	..)
		_json_up
		return 0
		;;
	esac
	json_get_type _json_t "$1"
	case $_json_t in
	object | array)
		_json_find "$1"
		eval "${JSON_PREFIX-}JSON_CUR=\${${JSON_PREFIX-}$_json_v}"
		;;
	*)
		_json_warn "Variable '$1' does not exist or is not an array/object"
		return 1
		;;
	esac
}

# json_for_each_item FUNC NAME [ARG...]: FUNC VALUE KEY ARG... for each element
# of the array or object NAME, which is the current table meanwhile. For a plain
# value once, with an empty KEY; for nothing never.
json_for_each_item() {
	[ "$#" -ge 2 ] || return 0
	local _json_func="$1" _json_name="$2" _json_type _json_list _json_key _json_value
	shift 2
	json_get_type _json_type "$_json_name"
	case $_json_type in
	object | array) ;;
	'') return 0 ;;
	*)
		json_get_var _json_value "$_json_name"
		eval "$_json_func \"\$_json_value\" \"\" \"\$@\""
		return 0
		;;
	esac
	json_select "$_json_name"
	json_get_keys _json_list
	while [ -n "$_json_list" ]; do
		_json_key=${_json_list%% *}
		_json_list=${_json_list#"$_json_key"}
		_json_list=${_json_list# }
		json_get_var _json_value "$_json_key"
		eval "$_json_func \"\$_json_value\" \"\$_json_key\" \"\$@\""
	done
	json_select ..
}
