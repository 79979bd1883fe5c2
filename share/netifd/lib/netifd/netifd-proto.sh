# shellcheck shell=dash disable=SC3043,SC2034,SC2317
# netifd-proto.sh: what a protocol script is made of, for POSIX sh with local
# (dash, busybox ash).
# Part of netbraid. Sourced, never run.
#
# A script defines proto_NAME_init_config, proto_NAME_setup,
# proto_NAME_teardown, if it wants proto_NAME_renew and proto_NAME_restart, and
# ends with add_protocol NAME. The daemon runs it as
#   SCRIPT '' dump
#   SCRIPT NAME setup|teardown|renew|restart INTERFACE CONFIG [DEVICE]
# with CONFIG as JSON and the script's folder as the working directory. The
# script tells the daemon what it has come to with the proto_ functions below;
# each is one call of notify_proto, and its status is that of ubus.
#
# The configuration stays loaded across these calls. Names that begin with
# _proto_ are the library's own.

NETIFD_MAIN_DIR=${NETIFD_MAIN_DIR:-/lib/netifd}
PROTO_DEFAULT_OPTIONS='defaultroute peerdns metric'

_proto_nl='
'
_proto_blank=" 	$_proto_nl"

# Programs that call scripts (pppd) may give them a PATH of their own: where the
# commands ubus and jshn are the daemon's, they are found all the same.
command -v ubus >/dev/null 2>&1 && command -v jshn >/dev/null 2>&1 || PATH="$PATH:/run/netbraid/bin"

# _proto_source FILE...: the first that is there.
_proto_source() {
	while [ "$#" -gt 0 ]; do
		if [ -f "$1" ]; then
			# shellcheck disable=SC1090
			. "$1"
			return
		fi
		shift
	done
	return 1
}

_proto_source "$NETIFD_MAIN_DIR/../../usr/share/libubox/jshn.sh" \
	/usr/share/libubox/jshn.sh ../../../usr/share/libubox/jshn.sh ||
	echo "netifd-proto.sh: no jshn.sh" >&2
_proto_source "$NETIFD_MAIN_DIR/utils.sh" ../utils.sh ||
	echo "netifd-proto.sh: no utils.sh" >&2

# proto_config_add_TYPE NAME[:VALIDATOR]: in init_config: an option that the
# protocol takes.
proto_config_add_int() {
	config_add_int "$@"
}

proto_config_add_string() {
	config_add_string "$@"
}

proto_config_add_boolean() {
	config_add_boolean "$@"
}

proto_config_add_array() {
	config_add_array "$@"
}

proto_config_add_defaults() {
	config_add_boolean defaultroute
	config_add_boolean peerdns
	config_add_boolean renew
	config_add_int metric
}

# proto_add_dynamic_defaults: the defaults that this interface has go into the
# configuration of a dynamic one.
proto_add_dynamic_defaults() {
	[ -z "${defaultroute-}" ] || json_add_boolean defaultroute "$defaultroute"
	[ -z "${peerdns-}" ] || json_add_boolean peerdns "$peerdns"
	[ -z "${metric-}" ] || json_add_int metric "$metric"
}

# proto_init_update DEVICE|* UP [EXTERNAL]: begin to tell what the interface
# has. * or nothing: the device stays open. EXTERNAL 1: addresses and routes are
# on the device already. Up to proto_send_update the JSON functions add to the
# message, in a namespace of its own.
proto_init_update() {
	[ "${JSON_PREFIX-}" = _proto_ ] || json_set_namespace _proto_ _proto_namespace
	PROTO_KEEP=0
	_proto_nested=
	_proto_ipaddr='' _proto_ip6addr='' _proto_routes='' _proto_routes6=''
	_proto_neighbor='' _proto_neighbor6='' _proto_ip6prefix='' _proto_dns='' _proto_dns_search=''
	json_init
	json_add_int action 0
	case $1 in
	'' | '*') ;;
	*) json_add_string ifname "$1" ;;
	esac
	json_add_boolean link-up "${2-}"
	[ -z "${3-}" ] || json_add_boolean address-external "$3"
}

# proto_set_keep 1: what was told before and is not told now stays.
proto_set_keep() {
	PROTO_KEEP=$1
}

# proto_add_nested NAME ... proto_close_nested: a table of the message; tunnel
# has what the daemon shall make a tunnel of, data what others may read.
proto_add_nested() {
	_proto_nested=1
	json_add_object "$1"
}

proto_close_nested() {
	[ -z "${_proto_nested-}" ] || json_close_object
	_proto_nested=
}

proto_add_tunnel() {
	proto_add_nested tunnel
}

proto_close_tunnel() {
	proto_close_nested
}

proto_add_data() {
	proto_add_nested data
}

proto_close_data() {
	proto_close_nested
}

# _proto_record VAR FIELD...: one record more; | between its fields.
_proto_record() {
	local _proto_var="$1" _proto_line="${2-}"
	shift 2
	while [ "$#" -gt 0 ]; do
		_proto_line="$_proto_line|$1"
		shift
	done
	case $_proto_line in
	*"$_proto_nl"*)
		echo "WARNING: a line break in an address or route: left out" >&2
		return 1
		;;
	esac
	eval "$_proto_var=\${$_proto_var-}\$_proto_line\$_proto_nl"
}

# _proto_words VAR VALUE: each word of VALUE is a record.
_proto_words() {
	local _proto_rest="$2" _proto_word
	while :; do
		_proto_rest=${_proto_rest#"${_proto_rest%%[!"$_proto_blank"]*}"}
		_proto_word=${_proto_rest%%["$_proto_blank"]*}
		[ -n "$_proto_word" ] || break
		_proto_rest=${_proto_rest#"$_proto_word"}
		eval "$1=\${$1-}\$_proto_word\$_proto_nl"
	done
}

# proto_add_dns_server ADDRESS, proto_add_dns_search DOMAIN
proto_add_dns_server() {
	_proto_words _proto_dns "$1"
}

proto_add_dns_search() {
	_proto_words _proto_dns_search "$1"
}

# proto_add_ipv4_address ADDRESS [MASK [BROADCAST [PEER]]]: MASK as a length or
# dotted; ADDRESS/MASK does as well.
proto_add_ipv4_address() {
	case ${2:-none}$1 in
	none*/*) set -- "${1%%/*}" "${1#*/}" "${3-}" "${4-}" ;;
	esac
	_proto_record _proto_ipaddr "$1" "${2-}" "${3-}" "${4-}"
}

# proto_add_ipv6_address ADDRESS [LENGTH [PREFERRED [VALID [OFFLINK [CLASS]]]]]:
# lifetimes in seconds.
proto_add_ipv6_address() {
	case ${2:-none}$1 in
	none*/*) set -- "${1%%/*}" "${1#*/}" "${3-}" "${4-}" "${5-}" "${6-}" ;;
	esac
	_proto_record _proto_ip6addr "$1" "${2-}" "${3-}" "${4-}" "${5-}" "${6-}"
}

# proto_add_ipv4_neighbor ADDRESS MAC [PROXY]
proto_add_ipv4_neighbor() {
	_proto_record _proto_neighbor "$1" "${2-}" "${3-}"
}

# proto_add_ipv6_neighbor ADDRESS MAC [PROXY [ROUTER]]
proto_add_ipv6_neighbor() {
	_proto_record _proto_neighbor6 "$1" "${2-}" "${3-}" "${4-}"
}

# proto_add_ipv4_route TARGET MASK [GATEWAY [SOURCE [METRIC]]]
proto_add_ipv4_route() {
	_proto_record _proto_routes "$1" "${2-}" "${3-}" "${5-}" "" "${4-}" ""
}

# proto_add_ipv6_route TARGET LENGTH [GATEWAY [METRIC [VALID [SOURCE [TABLE]]]]]
proto_add_ipv6_route() {
	_proto_record _proto_routes6 "$1" "${2-}" "${3-}" "${4-}" "${5-}" "${6-}" "${7-}"
}

# proto_add_ipv6_prefix PREFIX [VALID [PREFERRED]]: a delegated prefix, lifetimes
# in seconds. PREFIX may have all in one, address/length,preferred,valid[,...],
# which is the order in which the daemon reads them.
proto_add_ipv6_prefix() {
	if [ -n "${2-}" ]; then
		_proto_words _proto_ip6prefix "$1,${3:-$2},$2"
	else
		_proto_words _proto_ip6prefix "$1"
	fi
}

# _proto_objects NAME RECORDS TYPE:KEY...: an array of objects; empty fields are
# left out.
_proto_objects() {
	local _proto_rest="$2" _proto_line _proto_specs _proto_spec
	[ -n "$2" ] || return 0
	json_add_array "$1"
	while [ -n "$_proto_rest" ]; do
		_proto_line="${_proto_rest%%"$_proto_nl"*}|"
		_proto_rest=${_proto_rest#*"$_proto_nl"}
		_proto_specs="$3 "
		json_add_object ""
		while [ -n "$_proto_specs" ] && [ -n "$_proto_line" ]; do
			_proto_spec=${_proto_specs%% *}
			_proto_specs=${_proto_specs#* }
			[ -z "${_proto_line%%|*}" ] ||
				"json_add_${_proto_spec%:*}" "${_proto_spec#*:}" "${_proto_line%%|*}"
			_proto_line=${_proto_line#*|}
		done
		json_close_object
	done
	json_close_array
}

# _proto_strings NAME RECORDS: an array of strings.
_proto_strings() {
	local _proto_rest="$2"
	[ -n "$2" ] || return 0
	json_add_array "$1"
	while [ -n "$_proto_rest" ]; do
		json_push_string "${_proto_rest%%"$_proto_nl"*}"
		_proto_rest=${_proto_rest#*"$_proto_nl"}
	done
	json_close_array
}

# proto_send_update INTERFACE: tell all since proto_init_update.
proto_send_update() {
	local _proto_rc _proto_hop='string:target string:netmask string:gateway int:metric int:valid string:source string:table'
	if [ "${JSON_PREFIX-}" != _proto_ ]; then
		echo "WARNING: proto_send_update without proto_init_update" >&2
		return 1
	fi
	proto_close_nested
	json_select
	json_add_boolean keep "$PROTO_KEEP"
	_proto_objects ipaddr "$_proto_ipaddr" 'string:ipaddr string:mask string:broadcast string:ptp'
	_proto_objects ip6addr "$_proto_ip6addr" \
		'string:ipaddr string:mask int:preferred int:valid boolean:offlink string:class'
	_proto_objects routes "$_proto_routes" "$_proto_hop"
	_proto_objects routes6 "$_proto_routes6" "$_proto_hop"
	_proto_strings ip6prefix "$_proto_ip6prefix"
	_proto_strings dns "$_proto_dns"
	_proto_strings dns_search "$_proto_dns_search"
	_proto_objects neighbor "$_proto_neighbor" 'string:ipaddr string:mac boolean:proxy'
	_proto_objects neighbor6 "$_proto_neighbor6" 'string:ipaddr string:mac boolean:proxy boolean:router'
	_proto_notify "$1"
	_proto_rc=$?
	json_cleanup
	json_set_namespace "${_proto_namespace-}"
	return "$_proto_rc"
}

# _proto_notify INTERFACE [UBUS-OPTION]: send the message.
_proto_notify() {
	json_add_string interface "$1"
	ubus ${2:+"$2"} call network.interface notify_proto "$(json_dump)"
}

# The other messages are made in a subshell: what the script has loaded stays.

# _proto_action NUMBER: begin a message.
_proto_action() {
	json_set_namespace _proto_
	json_init
	json_add_int action "$1"
}

# _proto_array NAME VALUE...
_proto_array() {
	json_add_array "$1"
	shift
	while [ "$#" -gt 0 ]; do
		json_push_string "$1"
		shift
	done
	json_close_array
}

# proto_export VAR=VALUE: in the environment of the command to come.
proto_export() {
	_proto_exports=$((${_proto_exports:-0} + 1))
	eval "_proto_export_$_proto_exports=\$1"
}

# proto_run_command INTERFACE COMMAND [ARG...]: start the protocol's task, which
# the daemon supervises.
proto_run_command() (
	_proto_interface=$1
	shift
	_proto_action 1
	_proto_array command "$@"
	set --
	while [ "$#" -lt "${_proto_exports:-0}" ]; do
		_proto_i=$(($# + 1))
		eval "set -- \"\$@\" \"\$_proto_export_$_proto_i\""
	done
	[ "$#" -eq 0 ] || _proto_array env "$@"
	_proto_notify "$_proto_interface"
)

# proto_kill_command INTERFACE [SIGNAL]: SIGNAL is a number, TERM without it.
proto_kill_command() (
	_proto_action 2
	[ -z "${2-}" ] || json_add_int signal "$2"
	_proto_notify "$1"
)

# proto_notify_error INTERFACE CODE [DATA...]
proto_notify_error() (
	_proto_interface=$1
	shift
	_proto_action 3
	_proto_array error "$@"
	_proto_notify "$_proto_interface"
)

# proto_block_restart INTERFACE: do not start it again by itself.
proto_block_restart() (
	_proto_action 4
	_proto_notify "$1"
)

# proto_set_available INTERFACE AVAILABLE
proto_set_available() (
	_proto_action 5
	json_add_boolean available "$2"
	_proto_notify "$1"
)

# proto_add_host_dependency INTERFACE HOST [VIA]: the interface needs the way to
# HOST, over the interface VIA. Status 4: there is none yet.
proto_add_host_dependency() (
	_proto_action 6
	json_add_string host "$2"
	[ -z "${3-}" ] || json_add_string ifname "$3"
	_proto_notify "$1" -S
)

# proto_setup_failed INTERFACE: take it down, try again.
proto_setup_failed() (
	_proto_action 7
	_proto_notify "$1"
)

# What scripts expect of the system and Debian lacks, or has for something else.

# ifup INTERFACE..., ifdown INTERFACE...: of ours, not of ifupdown.
ifup() {
	_proto_updown up "$@"
}

ifdown() {
	_proto_updown down "$@"
}

_proto_updown() {
	local _proto_verb="$1" _proto_rc=0
	shift
	while [ "$#" -gt 0 ]; do
		case $1 in
		-*) ;;
		*) ubus call "network.interface.$1" "$_proto_verb" || _proto_rc=$? ;;
		esac
		shift
	done
	return "$_proto_rc"
}

# kill: with -l NAME, which dash refuses, it prints the number.
kill -l SIGUSR1 >/dev/null 2>&1 || kill() {
	local _proto_signal=1
	if [ "$#" -ne 2 ] || [ "$1" != -l ]; then
		command kill "$@"
		return
	fi
	case $2 in
	*[!0-9]*) ;;
	*)
		command kill -l "$2"
		return
		;;
	esac
	while [ "$_proto_signal" -lt 32 ]; do
		if [ "$(command kill -l "$_proto_signal")" = "${2#SIG}" ]; then
			echo "$_proto_signal"
			return 0
		fi
		_proto_signal=$((_proto_signal + 1))
	done
	echo "kill: no signal $2" >&2
	return 1
}

# resolveip [-4|-6] [-t SECONDS] HOST: prints its addresses.
command -v resolveip >/dev/null 2>&1 || resolveip() {
	local _proto_db=ahosts _proto_wait=5 _proto_seen=' ' _proto_address
	while [ "$#" -gt 1 ]; do
		case $1 in
		-4) _proto_db=ahostsv4 ;;
		-6) _proto_db=ahostsv6 ;;
		-t)
			_proto_wait=$2
			shift
			;;
		esac
		shift
	done
	_proto_address=$(timeout "$_proto_wait" getent "$_proto_db" "$1") || return 1
	while read -r _proto_address _; do
		case $_proto_seen$_proto_address in
		*" $_proto_address "* | *::ffff:*.*) ;; # again, or IPv4 in IPv6
		*)
			_proto_seen="$_proto_seen$_proto_address "
			printf '%s\n' "$_proto_address"
			;;
		esac
	done <<-_END_OF_ADDRESSES_
		$_proto_address
	_END_OF_ADDRESSES_
	[ "$_proto_seen" != ' ' ]
}

# _proto_tools: a busybox that runs its own applets where a program of the name
# is installed has an ip that knows no peers and no tunnels. The program counts.
_proto_tools() {
	local _proto_tool _proto_dir IFS=:
	for _proto_tool in ip tc brctl ifconfig route modprobe wget; do
		[ "$(command -v "$_proto_tool")" = "$_proto_tool" ] || continue
		for _proto_dir in $PATH; do
			[ -x "$_proto_dir/$_proto_tool" ] || continue
			eval "$_proto_tool() { '$_proto_dir/$_proto_tool' \"\$@\"; }"
			break
		done
	done
}

# _proto_shell ARG...: scripts for OpenWrt are written for busybox ash, which
# knows ${x//a/b}, ${x:0:3}, [[ and == that other POSIX shells refuse. Begin anew
# under it if this is another one and busybox is there. PROTO_SHELL, set to
# anything, keeps the shell.
_proto_shell() {
	# shellcheck disable=SC3014,SC2050 # the question is whether it is known
	if [ a == a ] 2>/dev/null || [ -n "${PROTO_SHELL-}" ] || [ ! -f "$0" ] ||
		! busybox ash -c : 2>/dev/null; then
		return 0
	fi
	export PROTO_SHELL=ash # once is enough
	exec busybox ash "$0" "$@"
}

# init_proto PROTOCOL COMMAND [INTERFACE CONFIG [DEVICE]]: what the script was
# run for; add_protocol does it, if the protocol is its own. Its status is that
# of what was done. proto, cmd, interface, data and ifname are for the script too.
init_proto() {
	_proto_shell "$@"
	_proto_tools
	proto=${1-}
	cmd=${2-}
	interface=${3-}
	data=${4-}
	ifname=${5-}
	_proto_status=0
	case $cmd in
	dump) add_protocol() { _proto_dump "$1"; } ;;
	setup | teardown | renew | restart)
		add_protocol() {
			if [ "$proto" = "$1" ]; then
				_proto_run "$1"
				_proto_status=$?
			fi
			return "$_proto_status"
		}
		;;
	*) add_protocol() { :; } ;;
	esac
}

# _proto_dump NAME: prints the protocol's description, a line of JSON.
_proto_dump() {
	no_device=0 no_device_config=0 no_proto_task=0 available=0 renew_handler=0
	restart_handler=0 lasterror=0 teardown_on_l3_link_down=0
	add_default_handler "proto_$1_init_config"
	json_init
	json_add_string name "$1"
	json_add_array config
	"proto_$1_init_config"
	json_select
	json_add_boolean no-device "$no_device"
	json_add_boolean no-device-config "$no_device_config"
	json_add_boolean no-proto-task "$no_proto_task"
	json_add_boolean available "$available"
	json_add_boolean renew-handler "$renew_handler"
	json_add_boolean restart-handler "$restart_handler"
	json_add_boolean lasterror "$lasterror"
	json_add_boolean teardown-on-l3-link-down "$teardown_on_l3_link_down"
	json_dump
	json_cleanup
}

# _proto_run NAME: the function for $cmd, with the configuration loaded.
_proto_run() {
	local _proto_rc
	_proto_exports=0
	if ! command -v "proto_$1_$cmd" >/dev/null 2>&1; then
		[ "$cmd" = teardown ] && return 0
		echo "protocol $1: no $cmd" >&2
		return 1
	fi
	_proto_hotplug "pre-$cmd"
	json_init
	[ -z "$data" ] || json_load "$data"
	"proto_$1_$cmd" "$interface" "$ifname"
	_proto_rc=$?
	_proto_hotplug "post-$cmd"
	return "$_proto_rc"
}

# _proto_hotplug ACTION: /etc/hotplug.d/proto, where there is one.
_proto_hotplug() {
	[ -d /etc/hotplug.d/proto ] && [ -x /sbin/hotplug-call ] || return 0
	env -i ACTION="$1" PROTOCOL="$proto" INTERFACE="$interface" IFNAME="$ifname" DATA="$data" \
		/sbin/hotplug-call proto
}
