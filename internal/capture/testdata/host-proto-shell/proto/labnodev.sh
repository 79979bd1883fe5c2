#!/bin/sh

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

proto_labnodev_init_config() {
	no_device=1
	available=1
	lasterror=1
	no_proto_task=1
	teardown_on_l3_link_down=1
	proto_config_add_string x
}

proto_labnodev_setup() {
	local config="$1"
	ip link add "nd-$config" address 02:00:00:00:00:56 type veth \
		peer name "ndp-$config" address 02:00:00:00:00:57
	ip link set "ndp-$config" up
	proto_init_update "nd-$config" 1
	proto_add_ipv4_address 10.56.0.2 24
	proto_send_update "$config"
}

proto_labnodev_teardown() {
	local config="$1"
	ip link del "nd-$config" 2>/dev/null
}

add_protocol labnodev
