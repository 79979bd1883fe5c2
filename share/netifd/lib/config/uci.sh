# shellcheck shell=dash disable=SC3043,SC2034
# uci.sh: the command uci as functions, and uci_load.
# Part of netbraid. Sourced by functions.sh, whose config, option and list it
# calls.
#
# UCI_CONFIG_DIR is where the files are; without it uci has its own answer.

CONFIG_APPEND=
N='
'

# _uci ARG...: uci on that folder.
_uci() {
	uci ${UCI_CONFIG_DIR:+-c "$UCI_CONFIG_DIR"} "$@"
}

# uci_load PACKAGE: see config_load. The lines that uci prints are read, not
# evaluated: a section type may hold any character.
uci_load() {
	local _uci_text _uci_rc _uci_state _uci_list
	if [ -z "${CONFIG_APPEND-}" ]; then
		_uci_text=${CONFIG_LIST_STATE-}
		while [ -n "$_uci_text" ]; do
			_uci_list=${_uci_text%% *}
			_uci_text=${_uci_text#"$_uci_list"}
			_uci_text=${_uci_text# }
			unset "CONFIG_$_uci_list" "CONFIG_${_uci_list}_LENGTH"
		done
		CONFIG_LIST_STATE=
		CONFIG_SECTIONS=
		CONFIG_NUM_SECTIONS=0
		CONFIG_SECTION=
	fi
	_uci_state=
	[ -z "${LOAD_STATE-}" ] || [ ! -d /var/state ] || _uci_state=/var/state
	_uci_text=$(_uci ${_uci_state:+-P "$_uci_state"} -S -n export "$1" 2>/dev/null)
	_uci_rc=$?
	[ "$_uci_rc" -ne 0 ] || _uci_lines "$_uci_text"
	[ -z "$CONFIG_SECTION" ] || [ -n "${NO_CALLBACK-}" ] || config_cb
	return "$_uci_rc"
}

# _uci_lines TEXT: runs what uci export has printed. A value stands in single
# quotes, may go over lines, and has '\'' for each quote in it.
_uci_lines() {
	local _uci_line _uci_word _uci_name _uci_value
	while IFS= read -r _uci_line <&8; do
		_uci_line=${_uci_line#"	"}
		_uci_word=${_uci_line%% *}
		_uci_line=${_uci_line#"$_uci_word"}
		_uci_line=${_uci_line# }
		case $_uci_word in
		config | option | list) ;;
		*) continue ;;
		esac
		case $_uci_line in
		\'*) # a type that would not do bare
			_uci_line=${_uci_line#\'}
			_uci_value=
			_uci_quoted
			_uci_name=$_uci_value
			;;
		*)
			_uci_name=${_uci_line%% *}
			_uci_line=${_uci_line#"$_uci_name"}
			;;
		esac
		_uci_value=
		case $_uci_line in
		" '"*)
			_uci_line=${_uci_line#" '"}
			_uci_quoted
			;;
		esac
		"$_uci_word" "$_uci_name" "$_uci_value"
	done 8<<-_END_OF_EXPORT_
		$1
	_END_OF_EXPORT_
}

# _uci_quoted: _uci_value is what _uci_line holds behind an opening quote, with
# as many further lines as it takes.
_uci_quoted() {
	while :; do
		case $_uci_line in
		*\'*)
			_uci_value=$_uci_value${_uci_line%%\'*}
			_uci_line=${_uci_line#*\'}
			case $_uci_line in
			"\\''"*)
				_uci_value=$_uci_value\'
				_uci_line=${_uci_line#???}
				;;
			*) return 0 ;;
			esac
			;;
		*)
			_uci_value="$_uci_value$_uci_line$N"
			IFS= read -r _uci_line <&8 || return 0
			;;
		esac
	done
}

# uci_get PACKAGE [SECTION [OPTION [DEFAULT [STATE-FOLDER]]]]: prints it, or
# DEFAULT; the status is that of uci.
uci_get() {
	_uci ${5:+-P "$5"} -q get "$1${2:+.$2}${3:+.$3}" && return 0
	set -- "$?" "${4-}"
	[ -z "$2" ] || printf '%s\n' "$2"
	return "$1"
}

# uci_set PACKAGE SECTION OPTION VALUE
uci_set() {
	_uci set "$1.$2.$3=$4"
}

# uci_add PACKAGE TYPE [SECTION]: a new section; CONFIG_SECTION is its name.
uci_add() {
	if [ -n "${3-}" ]; then
		_uci set "$1.$3=$2" && CONFIG_SECTION=$3
	else
		CONFIG_SECTION=$(_uci add "$1" "$2")
	fi
}

# uci_add_list PACKAGE SECTION LIST VALUE, uci_remove_list likewise
uci_add_list() {
	_uci add_list "$1.$2.$3=$4"
}

uci_remove_list() {
	_uci del_list "$1.$2.$3=$4"
}

# uci_rename PACKAGE SECTION [OPTION] NAME
uci_rename() {
	if [ "$#" -gt 3 ]; then
		_uci rename "$1.$2.$3=$4"
	else
		_uci rename "$1.$2=$3"
	fi
}

# uci_remove PACKAGE SECTION [OPTION]
uci_remove() {
	_uci del "$1.$2${3:+.$3}"
}

# uci_revert PACKAGE [SECTION [OPTION]], uci_commit PACKAGE
uci_revert() {
	_uci revert "$1${2:+.$2}${3:+.$3}"
}

uci_commit() {
	_uci commit "$1"
}

# uci_set_default PACKAGE: the package from stdin, if there is none.
uci_set_default() {
	_uci -q show "$1" >/dev/null && return 0
	_uci import "$1" && _uci commit "$1"
}

# What a script wants to remember until the next boot: uci_set_state PACKAGE
# SECTION OPTION VALUE, uci_get_state, uci_revert_state, uci_toggle_state.
uci_set_state() {
	[ "$#" -eq 4 ] || return 0
	_uci -P /var/state set "$1.$2${3:+.$3}=$4"
}

uci_get_state() {
	uci_get "$1" "${2-}" "${3-}" "${4-}" /var/state
}

uci_revert_state() {
	_uci -P /var/state revert "$1${2:+.$2}${3:+.$3}"
}

uci_toggle_state() {
	uci_revert_state "$1" "$2" "$3"
	uci_set_state "$1" "$2" "$3" "$4"
}
