#!/bin/sh

[ -x /bin/busybox ] || [ -x /usr/bin/busybox ] || exit 0

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

proto_labdhcp_init_config() {
	renew_handler=1
	proto_config_add_string 'ipaddr:ipaddr'
	proto_config_add_string 'hostname:hostname'
	proto_config_add_boolean 'broadcast:bool'
	proto_config_add_array 'reqopts:list(string)'
	proto_config_add_defaults
}

proto_labdhcp_add_reqopt() {
	append "$3" "-O $1"
}

proto_labdhcp_setup() {
	local config="$1" iface="$2" ipaddr hostname broadcast reqopts opts
	json_get_vars ipaddr hostname broadcast
	json_for_each_item proto_labdhcp_add_reqopt reqopts opts

	[ "$broadcast" = 1 ] && broadcast="-B" || broadcast=

	proto_export "INTERFACE=$config"
	# shellcheck disable=SC2086 # lists of words
	proto_run_command "$config" busybox udhcpc \
		-p "/tmp/labdhcp-$config.$$.pid" \
		-s "$PWD/labdhcp.script" \
		-f -t 3 -T 1 -i "$iface" \
		${ipaddr:+-r "$ipaddr"} \
		${hostname:+-x "hostname:$hostname"} \
		$broadcast $opts
}

proto_labdhcp_renew() {
	local sigusr1
	sigusr1="$(kill -l SIGUSR1)"
	[ -n "$sigusr1" ] && proto_kill_command "$1" "$sigusr1"
}

proto_labdhcp_teardown() {
	proto_kill_command "$1"
}

add_protocol labdhcp
