#!/bin/sh

[ -n "$INCLUDE_ONLY" ] || {
	. /lib/functions.sh
	. ../netifd-proto.sh
	init_proto "$@"
}

proto_labtest_init_config() {
	renew_handler=1
	lasterror=1
	proto_config_add_string mode
	proto_config_add_int num
	proto_config_add_boolean flag
	proto_config_add_array items
	proto_config_add_defaults
}

add_item() {
	append "$3" "<$1>"
}

labtest_task() {
	local config="$1"
	proto_export "INTERFACE=$config"
	proto_run_command "$config" sleep 1000
}

labtest_address() {
	local config="$1" iface="$2" address="$3"
	proto_init_update "$iface" 1
	proto_add_ipv4_address "$address" 24
	proto_send_update "$config"
}

labtest_full() {
	local config="$1" iface="$2"
	proto_init_update "$iface" 1
	proto_add_ipv4_address 10.50.0.2 24
	proto_add_ipv4_address 10.51.0.2 32 "" 10.51.0.9
	proto_add_ipv6_address 2001:db8:50::2 64 1800 3600
	proto_add_ipv6_address 2001:db8:51::2 64 0 3600 1
	proto_add_ipv6_address fd50::2 128 "" "" "" cls
	proto_add_ipv4_route 0.0.0.0 0 10.50.0.1
	proto_add_ipv4_route 10.60.0.0 16 10.50.0.9 10.50.0.2/32 42
	proto_add_ipv6_route :: 0 fe80::1 "" 1800
	proto_add_ipv6_route 2001:db8:77:: 48 fe80::1 5 600 2001:db8:50::/64 123
	proto_add_ipv6_prefix 2001:db8:5000::/56 3600 1800
	proto_add_ipv6_prefix 2001:db8:6000::/56
	proto_add_ipv4_neighbor 10.50.0.77 02:00:00:00:00:77
	proto_add_ipv6_neighbor fe80::77 02:00:00:00:00:77 "" 1
	proto_add_dns_server 10.50.0.53
	proto_add_dns_server 2001:db8:50::53
	proto_add_dns_search lab.example
	proto_add_data
	json_add_string leasetime 3600
	json_add_int n 7
	json_add_boolean b 1
	proto_close_data
	proto_send_update "$config"
}

proto_labtest_setup() {
	local config="$1" iface="$2" mode num flag items all
	json_get_vars mode num flag
	json_for_each_item add_item items all
	echo "setup $mode num=$num flag=$flag items=$all"
	case "$mode" in
	full)
		labtest_task "$config"
		labtest_full "$config" "$iface"
		;;
	hang) labtest_task "$config" ;;
	slow) sleep 1000 ;;
	error)
		proto_notify_error "$config" MY_ERROR "some data" more
		proto_block_restart "$config"
		;;
	hostdep)
		proto_add_host_dependency "$config" 10.1.0.99
		labtest_task "$config"
		labtest_address "$config" "$iface" 10.54.0.2
		;;
	external)
		labtest_task "$config"
		ip addr replace 10.55.0.2/24 dev "$iface"
		proto_init_update "$iface" 1 1
		proto_add_ipv4_address 10.55.0.2 24
		proto_send_update "$config"
		;;
	taskdies)
		proto_run_command "$config" sh -c 'sleep 1; exit 11'
		labtest_address "$config" "$iface" 10.53.0.2
		;;
	notask) labtest_address "$config" "$iface" 10.52.0.2 ;;
	failed)
		proto_notify_error "$config" SETUP_FAIL
		proto_setup_failed "$config"
		;;
	esac
}

proto_labtest_renew() {
	local config="$1"
	proto_init_update "*" 1
	proto_set_keep 1
	proto_add_ipv4_address 10.50.0.99 24
	proto_send_update "$config"
}

proto_labtest_teardown() {
	local config="$1" mode
	json_get_vars mode
	echo "teardown $config ERROR=$ERROR"
	[ "$mode" != external ] || ip addr del 10.55.0.2/24 dev "$2" 2>/dev/null
	proto_kill_command "$config"
	[ "$mode" != full ] || sleep 0.4
}

[ -n "$INCLUDE_ONLY" ] || add_protocol labtest
