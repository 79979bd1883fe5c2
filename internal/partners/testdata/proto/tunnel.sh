#!/bin/sh
# Tunnels that the daemon makes: gre and vxlan to a peer, by name or address.

[ -n "$INCLUDE_ONLY" ] || {
	. ../netifd-proto.sh
	init_proto "$@"
}

tunnel_generic_setup() {
	local cfg="$1"
	local mode="$2"
	local peeraddr ipaddr tunlink mtu ttl key remoteip ip

	json_get_vars peeraddr ipaddr tunlink mtu ttl key

	[ -z "$peeraddr" ] && {
		proto_notify_error "$cfg" "MISSING_PEER_ADDRESS"
		proto_block_restart "$cfg"
		return
	}

	remoteip=$(resolveip -t 10 -4 "$peeraddr")
	[ -z "$remoteip" ] && {
		proto_notify_error "$cfg" "PEER_RESOLVE_FAIL" "$peeraddr"
		proto_setup_failed "$cfg"
		return
	}
	for ip in $remoteip; do
		peeraddr=$ip
		break
	done

	( proto_add_host_dependency "$cfg" "$peeraddr" "$tunlink" )

	proto_init_update "$mode-$cfg" 1
	proto_add_tunnel
	case "$mode" in
		gre) json_add_string mode greip ;;
		vxlan) json_add_string mode vxlan ;;
	esac
	json_add_int mtu "${mtu:-1400}"
	json_add_int ttl "${ttl:-64}"
	[ -z "$ipaddr" ] || json_add_string local "$ipaddr"
	json_add_string remote "$peeraddr"
	[ -z "$tunlink" ] || json_add_string link "$tunlink"
	json_add_object 'data'
	case "$mode" in
		gre)
			[ -z "$key" ] || json_add_int ikey "$key"
			[ -z "$key" ] || json_add_int okey "$key"
		;;
		vxlan) json_add_int id "${key:-1}" ;;
	esac
	json_close_object
	proto_close_tunnel
	proto_send_update "$cfg"
}

tunnel_generic_init_config() {
	no_device=1
	available=1
	no_proto_task=1
	proto_config_add_string "peeraddr"
	proto_config_add_string "ipaddr"
	proto_config_add_string "tunlink"
	proto_config_add_int "mtu"
	proto_config_add_int "ttl"
	proto_config_add_int "key"
}

proto_gre_setup() {
	tunnel_generic_setup "$1" gre
}

proto_gre_teardown() {
	:
}

proto_gre_init_config() {
	tunnel_generic_init_config
}

proto_vxlan_setup() {
	tunnel_generic_setup "$1" vxlan
}

proto_vxlan_teardown() {
	:
}

proto_vxlan_init_config() {
	tunnel_generic_init_config
}

[ -n "$INCLUDE_ONLY" ] || {
	add_protocol gre
	add_protocol vxlan
}
