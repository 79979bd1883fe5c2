#!/bin/sh

. /lib/functions.sh
. ../netifd-proto.sh
init_proto "$@"

proto_bad_init_config() {
	no_device=1
	available=1
	proto_config_add_string mode
	proto_config_add_string pids
}

note() {
	echo "$1" >>"$pids"
}

proto_bad_setup() {
	local config="$1" mode pids
	json_get_vars mode pids
	note "setup"
	case "$mode" in
	nonsense)
		echo "what is this?"
		head -c 300000 /dev/urandom
		echo
		;;
	hang)
		trap '' TERM
		sleep 1000 &
		note "pid $!"
		note "pid $$"
		while :; do sleep 1000; done
		;;
	fork)
		setsid sleep 1000 &
		note "pid $!"
		proto_run_command "$config" sleep 1000
		proto_init_update lo 1
		proto_send_update "$config"
		;;
	flood)
		note "pid $$"
		while :; do echo "flood flood flood"; done
		;;
	loop)
		proto_notify_error "$config" NO_LUCK today
		proto_setup_failed "$config"
		;;
	dies)
		proto_run_command "$config" sh -c 'exit 7'
		;;
	late)
		proto_run_command "$config" sleep 1000
		proto_init_update lo 1
		proto_send_update "$config"
		;;
	esac
}

proto_bad_teardown() {
	local config="$1" mode pids
	json_get_vars mode pids
	note "teardown $ERROR"
	case "$mode" in
	hang) sleep 1000 ;;
	late)
		proto_init_update '*' 0
		proto_send_update "$config"
		note "down $?"
		proto_init_update lo 1
		proto_send_update "$config"
		note "up $?"
		;;
	esac
}

add_protocol bad
