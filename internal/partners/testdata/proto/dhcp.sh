#!/bin/sh
# DHCPv4 by busybox udhcpc.

. ../netifd-proto.sh
init_proto "$@"

proto_dhcp_init_config() {
	renew_handler=1

	proto_config_add_string 'ipaddr:ipaddr'
	proto_config_add_string 'hostname:hostname'
	proto_config_add_string clientid
	proto_config_add_boolean release
	proto_config_add_array 'reqopts:list(string)'
	proto_config_add_defaults
}

dhcp_reqopt() {
	append dhcpopts "-O $1"
}

proto_dhcp_setup() {
	local config="$1"
	local iface="$2"
	local ipaddr hostname clientid release dhcpopts

	json_get_vars ipaddr hostname clientid release
	json_for_each_item dhcp_reqopt reqopts

	[ "$release" = 0 ] || append dhcpopts "-R"
	[ -z "$hostname" ] || append dhcpopts "-x hostname:$hostname"
	[ -z "$clientid" ] || append dhcpopts "-x 0x3d:$clientid"
	[ -z "$ipaddr" ] || append dhcpopts "-r $ipaddr"

	proto_export "INTERFACE=$config"
	# shellcheck disable=SC2086
	proto_run_command "$config" busybox udhcpc \
		-i "$iface" -s "$PWD/../dhcp.script" \
		-f -t 0 -T 1 $dhcpopts
}

proto_dhcp_renew() {
	local interface="$1" sigusr1
	# SIGUSR1 tells udhcpc to renew its lease
	sigusr1="$(kill -l SIGUSR1)"
	[ -n "$sigusr1" ] && proto_kill_command "$interface" "$sigusr1"
}

proto_dhcp_teardown() {
	proto_kill_command "$1"
}

add_protocol dhcp
