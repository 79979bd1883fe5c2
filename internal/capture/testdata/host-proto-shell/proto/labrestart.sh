#!/bin/sh

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

proto_labrestart_init_config() {
	no_device=1
	available=1
	lasterror=1
	no_proto_task=1
	restart_handler=1
}

proto_labrestart_setup() {
	proto_init_update lo 1
	proto_send_update "$1"
}

proto_labrestart_restart() {
	echo "restart $1"
	proto_labrestart_setup "$1"
}

proto_labrestart_teardown() {
	:
}

add_protocol labrestart
