#!/bin/sh

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

proto_labtunnel_init_config() {
	no_device=1
	available=1
	no_proto_task=1
	proto_config_add_string mode
	proto_config_add_string ipaddr
	proto_config_add_string peeraddr
	proto_config_add_string tunlink
	proto_config_add_int mtu
	proto_config_add_int ttl
	proto_config_add_string macaddr
	proto_config_add_int key
	proto_config_add_string prefix
}

proto_labtunnel_setup() {
	local config="$1" mode ipaddr peeraddr tunlink mtu ttl macaddr key prefix
	json_get_vars mode ipaddr peeraddr tunlink mtu ttl macaddr key prefix

	[ -z "$peeraddr" ] || proto_add_host_dependency "$config" "$peeraddr" "$tunlink"
	proto_init_update "t-$config" 1
	proto_add_ipv4_address 172.20.0.1 30
	proto_add_tunnel
	json_add_string mode "$mode"
	json_add_int mtu "${mtu:-1280}"
	[ -z "$ttl" ] || json_add_int ttl "$ttl"
	[ -z "$ipaddr" ] || json_add_string local "$ipaddr"
	[ -z "$peeraddr" ] || json_add_string remote "$peeraddr"
	[ -z "$tunlink" ] || json_add_string link "$tunlink"
	json_add_object data
	case "$mode" in
	vxlan*) json_add_int id "$key" ;;
	xfrm) json_add_int ifid "$key" ;;
	sit) [ -z "$prefix" ] || json_add_string prefix "$prefix" ;;
	*)
		[ -z "$key" ] || {
			json_add_int ikey "$key"
			json_add_int okey "$key"
		}
		;;
	esac
	[ -z "$macaddr" ] || json_add_string macaddr "$macaddr"
	json_close_object
	proto_close_tunnel
	proto_send_update "$config"
}

proto_labtunnel_teardown() {
	:
}

add_protocol labtunnel
