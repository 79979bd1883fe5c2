package api

import "netbraid/ubus"

// The signatures are netifd's, as `ubus -v list` shows them. The argument
// `interface` that the methods of network.interface need is not in them.

func method(name string, args ...ubus.Arg) ubus.Method { return ubus.Method{Name: name, Args: args} }

func arg(name string, t ubus.Type) ubus.Arg { return ubus.Arg{Name: name, Type: t} }

var networkMethods = []ubus.Method{
	method("restart"),
	method("reload"),
	method("add_host_route", arg("target", ubus.TypeString), arg("v6", ubus.TypeBool),
		arg("interface", ubus.TypeString), arg("exclude", ubus.TypeBool)),
	method("get_proto_handlers"),
	method("add_dynamic", arg("name", ubus.TypeString)),
	method("netns_updown", arg("jail", ubus.TypeString), arg("start", ubus.TypeBool)),
}

var deviceMethods = []ubus.Method{
	method("status", arg("name", ubus.TypeString)),
	method("set_alias", arg("alias", ubus.TypeArray), arg("device", ubus.TypeString)),
	method("set_state", arg("name", ubus.TypeString), arg("defer", ubus.TypeBool),
		arg("auth_status", ubus.TypeBool), arg("auth_vlans", ubus.TypeArray)),
	method("stp_init"),
}

var interfaceMethods = []ubus.Method{
	method("up"),
	method("down"),
	method("renew"),
	method("restart"),
	method("status"),
	method("prepare"),
	method("dump"),
	method("add_device", arg("name", ubus.TypeString), arg("link-ext", ubus.TypeBool), arg("vlan", ubus.TypeArray)),
	method("remove_device", arg("name", ubus.TypeString), arg("link-ext", ubus.TypeBool), arg("vlan", ubus.TypeArray)),
	method("notify_proto"),
	method("remove"),
	method("set_data"),
}

var ownMethods = []ubus.Method{
	method("status"),
	method("reload"),
	method("errors"),
}
