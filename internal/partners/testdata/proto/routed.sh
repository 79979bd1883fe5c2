#!/bin/sh
# Addresses and routes of all sorts, with and without metric and table.

. ../netifd-proto.sh
init_proto "$@"

proto_routed_init_config() {
	no_proto_task=1
	proto_config_add_defaults
}

proto_routed_setup() {
	local config="$1"

	proto_init_update "*" 1
	proto_add_ipv4_address 192.0.2.2 24
	proto_add_ipv4_route 0.0.0.0 0 192.0.2.1
	proto_add_ipv4_route 10.60.0.0 16 192.0.2.9 "" 42
	proto_add_ipv6_address 2001:db8::2 64
	proto_add_ipv6_route :: 0 2001:db8::1
	proto_add_ipv6_route 2001:db8:60:: 48 2001:db8::9 43
	proto_add_ipv6_route 2001:db8:77:: 48 2001:db8::9 "" "" "" 123
	proto_send_update "$config"
}

proto_routed_teardown() {
	:
}

add_protocol routed
