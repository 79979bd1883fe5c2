# shellcheck shell=dash disable=SC3043,SC2034,SC2030,SC2031,SC2317
# network.sh: what is known of the network's interfaces, for POSIX sh with local
# (dash, busybox ash).
# Part of netbraid. Sourced, never run.
#
# Each function takes an interface by its name in the configuration, sets the
# variable named first and returns 0; if there is no answer it unsets the
# variable and returns 1. All come from one network.interface dump, read at the
# first question; network_flush_cache makes the next question read it anew.
#
# The cache is __NETWORK_CACHE, " NAME=1 NAME=2 ...", and __network_<n>_<field>.
# Names that begin with __network are the library's own.

__NETWORK_FIELDS='up proto metric uptime l3_device device address4 subnet4 address6 subnet6 prefix6 assignment6 own_address6 own_subnet6 wan4 wan6 gateway4 gateway6 old_wan4 old_wan6 old_gateway4 old_gateway6 dns_server dns_search old_dns_server old_dns_search'

for __network_file in "${NETIFD_MAIN_DIR:-/lib/netifd}/../../usr/share/libubox/jshn.sh" \
	/usr/share/libubox/jshn.sh ../../../usr/share/libubox/jshn.sh; do
	[ -f "$__network_file" ] || continue
	# shellcheck disable=SC1090
	. "$__network_file"
	break
done
unset __network_file

# __network_load: fill the cache.
__network_load() {
	[ -z "${__NETWORK_CACHE-}" ] || return 0
	local __network_dump __network_rc
	__network_dump=$(ubus call network.interface dump 2>&1)
	__network_rc=$?
	case $__network_rc in
	0) eval "$(__network_read "$__network_dump")" ;;
	4) ;; # no such object: nothing is known
	*) printf '%s\n' "$__network_dump" >&2 ;;
	esac
	[ -n "${__NETWORK_CACHE-}" ]
}

# __network_read TEXT: prints the assignments that fill the cache. What jshn
# makes of the text runs with functions of our own, so that a dump of many
# interfaces becomes no JSON variables: __path is where we are, with # for an
# element of an array. A subshell; so is all that it calls.
__network_read() (
	__path='' __count=0 __cache='' __found=''
	json_init() { :; }
	json_add_object() { __network_enter "$1"; }
	json_add_array() { __network_enter "$1"; }
	json_close_object() { __network_leave; }
	json_close_array() { __network_leave; }
	json_add_string() { __network_value "$1" "$2"; }
	json_add_int() { __network_value "$1" "$2"; }
	json_add_boolean() { __network_value "$1" "$2"; }
	json_add_double() { __network_value "$1" "$2"; }
	json_add_null() { :; }
	eval "$(_json_read "$1")"
	printf "__NETWORK_CACHE='%s '\n" "$__cache"
)

__network_enter() {
	case $1 in
	*[!0-9]*) __path=$__path/$1 ;;
	*) __path="$__path/#" ;;
	esac
	case $__path in
	'/interface/#') __found='' ;;
	*'/#') __address='' __mask='' __own='' __own_mask='' __target='' __nexthop='' __table='' ;;
	esac
}

# __network_value KEY VALUE
__network_value() {
	case $__path in
	'/interface/#') __network_plain "$1" "$2" ;;
	'/interface/#/route/#' | '/interface/#/inactive/route/#')
		case $1 in
		target) __target=$2 ;;
		mask) __mask=$2 ;;
		nexthop) __nexthop=$2 ;;
		table) __table=$2 ;;
		esac
		;;
	'/interface/#/ipv'*'/#')
		case $1 in
		address) __address=$2 ;;
		mask) __mask=$2 ;;
		esac
		;;
	'/interface/#/ipv6_prefix_assignment/#/local_address')
		case $1 in
		address) __own=$2 ;;
		mask) __own_mask=$2 ;;
		esac
		;;
	'/interface/#/dns_server') __network_add dns_server "$2" ;;
	'/interface/#/dns_search') __network_add dns_search "$2" ;;
	'/interface/#/inactive/dns_server') __network_add old_dns_server "$2" ;;
	'/interface/#/inactive/dns_search') __network_add old_dns_search "$2" ;;
	esac
}

# __network_plain KEY VALUE: of the interface itself.
__network_plain() {
	case $1 in
	interface)
		case $2 in
		'' | *[!A-Za-z0-9_.@:-]*) ;; # nobody can ask for it
		*)
			__count=$((__count + 1))
			__cache="$__cache $2=$__count"
			__found=1
			;;
		esac
		;;
	up | proto | metric | uptime | l3_device | device) __network_add "$1" "$2" ;;
	esac
}

__network_leave() {
	case $__path in
	'/interface/#') __network_print ;;
	'/interface/#/ipv4_address/#')
		__network_add address4 "$__address"
		__network_add subnet4 "$__address/$__mask"
		;;
	'/interface/#/ipv6_address/#')
		__network_add address6 "$__address"
		__network_add subnet6 "$__address/$__mask"
		;;
	'/interface/#/ipv6_prefix/#') __network_add prefix6 "$__address/$__mask" ;;
	'/interface/#/ipv6_prefix_assignment/#')
		__network_add assignment6 "$__address/$__mask"
		[ -z "$__own" ] || {
			__network_add own_address6 "$__own"
			__network_add own_subnet6 "$__own/$__own_mask"
		}
		;;
	'/interface/#/route/#') __network_route '' ;;
	'/interface/#/inactive/route/#') __network_route old_ ;;
	esac
	__path=${__path%/*}
}

# __network_route PREFIX: the default routes in no table of their own are those
# that count.
__network_route() {
	case $__table$__target/$__mask in
	0.0.0.0/0)
		__network_add "$1wan4" 1
		[ -z "$__nexthop" ] || __network_add "$1gateway4" "$__nexthop"
		;;
	::/0)
		__network_add "$1wan6" 1
		[ -z "$__nexthop" ] || __network_add "$1gateway6" "$__nexthop"
		;;
	esac
}

# __network_add FIELD VALUE: one more word in a field of this interface.
__network_add() {
	eval "__f_$1=\${__f_$1-}\${__f_$1:+ }\$2"
}

# __network_print: the fields, which are forgotten then.
__network_print() {
	local IFS=' ' __field __value __quoted
	for __field in $__NETWORK_FIELDS; do
		eval "__value=\${__f_$__field-}"
		unset "__f_$__field"
		[ -n "$__value" ] || continue
		[ -n "$__found" ] || continue
		__quoted=
		while :; do # a name that somebody sent us may hold a quote
			case $__value in
			*\'*)
				__quoted="$__quoted${__value%%\'*}'\\''"
				__value=${__value#*\'}
				;;
			*) break ;;
			esac
		done
		printf "__network_%s_%s='%s'\n" "$__count" "$__field" "$__quoted$__value"
	done
}

# __network_get VAR INTERFACE FIELD: all words of a field.
__network_get() {
	local __network_i
	unset "$1"
	__network_load || return 1
	case $__NETWORK_CACHE in
	*" $2="*) ;;
	*) return 1 ;;
	esac
	__network_i=${__NETWORK_CACHE#*" $2="}
	__network_i=${__network_i%% *}
	eval "[ -n \"\${__network_${__network_i}_$3-}\" ]" || return 1
	eval "$1=\$__network_${__network_i}_$3"
}

# __network_get_first VAR INTERFACE FIELD: the first word.
__network_get_first() {
	__network_get "$@" || return 1
	eval "$1=\${$1%% *}"
}

# __network_get_both VAR INTERFACE FIELD FIELD: the words of both.
__network_get_both() {
	local __network_a='' __network_b=''
	unset "$1"
	__network_get __network_a "$2" "$3"
	__network_get __network_b "$2" "$4"
	[ -n "${__network_a-}${__network_b-}" ] || return 1
	eval "$1=\${__network_a-}\${__network_a:+\${__network_b:+ }}\${__network_b-}"
}

# __network_get_old VAR INTERFACE FIELD FLAG FUNC: what holds, or, if FLAG is 1
# or true, what would hold if it were used.
__network_get_old() {
	"$5" "$1" "$2" "$3" && return 0
	case $4 in
	1 | true) "$5" "$1" "$2" "old_$3" ;;
	*) return 1 ;;
	esac
}

# The first IPv4 address, without and with mask; all of them.
network_get_ipaddr() { __network_get_first "$1" "$2" address4; }
network_get_subnet() { __network_get_first "$1" "$2" subnet4; }
network_get_ipaddrs() { __network_get "$1" "$2" address4; }
network_get_subnets() { __network_get "$1" "$2" subnet4; }

# All IPv6 addresses, those of assigned prefixes last, without and with mask.
network_get_ipaddrs6() { __network_get_both "$1" "$2" address6 own_address6; }
network_get_subnets6() { __network_get_both "$1" "$2" subnet6 own_subnet6; }

# All addresses, IPv4 first.
network_get_ipaddrs_all() {
	local __network_v4='' __network_v6=''
	unset "$1"
	network_get_ipaddrs __network_v4 "$2"
	network_get_ipaddrs6 __network_v6 "$2"
	[ -n "${__network_v4-}${__network_v6-}" ] || return 1
	eval "$1=\${__network_v4-}\${__network_v4:+\${__network_v6:+ }}\${__network_v6-}"
}

# One IPv6 address with its mask: a global one rather than a unique local one
# (RFC 4193), and that rather than a link-local one.
network_get_subnet6() {
	local __network_all='' __network_one __network_best='' __network_rank=3
	unset "$1"
	network_get_subnets6 __network_all "$2" || return 1
	while [ -n "$__network_all" ]; do
		__network_one=${__network_all%% *}
		__network_all=${__network_all#"$__network_one"}
		__network_all=${__network_all# }
		case $__network_one in
		[fF][eE][89aAbB]?:*) set -- "$1" 2 ;;
		[fF][cCdD]??:*) set -- "$1" 1 ;;
		*) set -- "$1" 0 ;;
		esac
		if [ "$2" -lt "$__network_rank" ]; then
			__network_best=$__network_one
			__network_rank=$2
		fi
	done
	eval "$1=\$__network_best"
}

network_get_ipaddr6() {
	network_get_subnet6 "$1" "$2" || return 1
	eval "$1=\${$1%%/*}"
}

# Delegated prefixes, and prefixes assigned to the interface.
network_get_prefix6() { __network_get_first "$1" "$2" prefix6; }
network_get_prefixes6() { __network_get "$1" "$2" prefix6; }
network_get_prefix_assignment6() { __network_get_first "$1" "$2" assignment6; }
network_get_prefix_assignments6() { __network_get "$1" "$2" assignment6; }

# The gateway of the default route, DNS servers, search domains. A third
# argument of 1 or true: also if the interface is not used for them.
network_get_gateway() { __network_get_old "$1" "$2" gateway4 "${3-}" __network_get_first; }
network_get_gateway6() { __network_get_old "$1" "$2" gateway6 "${3-}" __network_get_first; }
network_get_dnsserver() { __network_get_old "$1" "$2" dns_server "${3-}" __network_get; }
network_get_dnssearch() { __network_get_old "$1" "$2" dns_search "${3-}" __network_get; }

# Protocol, metric, uptime in seconds, layer 3 device, main device.
network_get_protocol() { __network_get "$1" "$2" proto; }
network_get_metric() { __network_get "$1" "$2" metric; }
network_get_uptime() { __network_get "$1" "$2" uptime; }
network_get_device() { __network_get "$1" "$2" l3_device; }
network_get_physdev() { __network_get "$1" "$2" device; }

# network_is_up INTERFACE
network_is_up() {
	local __network_up
	__network_get __network_up "$1" up && [ "$__network_up" = 1 ]
}

# __network_wan VAR FIELD: the first interface that has the field.
__network_wan() {
	local __network_rest __network_word
	unset "$1"
	__network_load || return 1
	__network_rest=${__NETWORK_CACHE# }
	while [ -n "$__network_rest" ]; do
		__network_word=${__network_rest%% *}
		__network_rest=${__network_rest#"$__network_word"}
		__network_rest=${__network_rest# }
		eval "[ -n \"\${__network_${__network_word##*=}_$2-}\" ]" || continue
		eval "$1=\${__network_word%=*}"
		return 0
	done
	return 1
}

# network_find_wan VAR [FLAG], network_find_wan6 likewise: the interface with
# the default route. FLAG as above.
network_find_wan() { __network_find "$1" wan4 "${2-}"; }
network_find_wan6() { __network_find "$1" wan6 "${2-}"; }

__network_find() {
	__network_wan "$1" "$2" && return 0
	case $3 in
	1 | true) __network_wan "$1" "old_$2" ;;
	*) return 1 ;;
	esac
}

# network_defer_device DEVICE, network_ready_device DEVICE: leave a device
# alone, and go on with it.
network_defer_device() { __network_defer "$1" true; }
network_ready_device() { __network_defer "$1" false; }

__network_defer() {
	case $1 in
	'' | *[\"\\]*) return 1 ;;
	esac
	ubus call network.device set_state "{\"name\":\"$1\",\"defer\":$2}" 2>/dev/null
}

# network_flush_cache: ask anew.
network_flush_cache() {
	local IFS=' ' __network_word __network_field
	for __network_word in ${__NETWORK_CACHE-}; do
		for __network_field in $__NETWORK_FIELDS; do
			unset "__network_${__network_word##*=}_$__network_field"
		done
	done
	unset __NETWORK_CACHE
}
