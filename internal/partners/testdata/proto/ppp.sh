#!/bin/sh
# PPP over Ethernet by pppd.

[ -x /usr/sbin/pppd ] || exit 0

[ -n "$INCLUDE_ONLY" ] || {
	. ../netifd-proto.sh
	init_proto "$@"
}

ppp_generic_init_config() {
	proto_config_add_string username
	proto_config_add_string password
	proto_config_add_string keepalive
	proto_config_add_string 'pppd_options'
	proto_config_add_boolean authfail
	proto_config_add_int mtu
	proto_config_add_string pppname
	lasterror=1
}

ppp_generic_setup() {
	local config="$1"; shift
	local username password keepalive pppd_options mtu pppname
	local interval failure

	json_get_vars username password keepalive pppd_options mtu pppname

	[ -n "$pppname" ] || pppname="${proto:-ppp}-$config"
	: "${keepalive:=5 1}"
	failure="${keepalive%%[, ]*}"
	interval="${keepalive##*[, ]}"

	# shellcheck disable=SC2086
	proto_run_command "$config" /usr/sbin/pppd \
		nodetach ipparam "$config" \
		ifname "$pppname" \
		lcp-echo-interval "${interval:-1}" lcp-echo-failure "${failure:-5}" \
		${username:+user "$username" password "$password"} \
		${mtu:+mtu $mtu mru $mtu} \
		nodefaultroute noipdefault usepeerdns noauth maxfail 1 \
		ip-up-script /lib/netifd/ppp-up \
		ip-down-script /lib/netifd/ppp-down \
		"$@" $pppd_options
}

ppp_generic_teardown() {
	local interface="$1" authfail

	case "$ERROR" in
		11|19)
			proto_notify_error "$interface" AUTH_FAILED
			json_get_var authfail authfail
			if [ "${authfail:-0}" -gt 0 ]; then
				proto_block_restart "$interface"
			fi
		;;
		2)
			proto_notify_error "$interface" INVALID_OPTIONS
			proto_block_restart "$interface"
		;;
	esac
	proto_kill_command "$interface"
}

proto_pppoe_init_config() {
	ppp_generic_init_config
	proto_config_add_string ac
	proto_config_add_string service
	proto_config_add_defaults
}

proto_pppoe_setup() {
	local config="$1"
	local iface="$2"
	local ac service

	json_get_vars ac service

	ppp_generic_setup "$config" \
		plugin rp-pppoe.so \
		${ac:+rp_pppoe_ac "$ac"} \
		${service:+rp_pppoe_service "$service"} \
		"nic-$iface"
}

proto_pppoe_teardown() {
	ppp_generic_teardown "$@"
}

[ -n "$INCLUDE_ONLY" ] || add_protocol pppoe
