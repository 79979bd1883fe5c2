package shelllib

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"

	"netbraid/share/netifd"
)

const sourceProto = `. "$LIB/lib/functions.sh"; . "$NETIFD_MAIN_DIR/netifd-proto.sh"` + "\n"

// message checks one call of notify_proto, its options before "call", and gives
// its message as JSON without superfluous blanks.
func message(t testing.TB, args []string, options ...string) string {
	t.Helper()
	want := slices.Concat(options, []string{"call", "network.interface", "notify_proto"})
	if len(args) != len(want)+1 || !slices.Equal(args[:len(want)], want) {
		t.Fatalf("ubus %q", args)
	}
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(args[len(want)])); err != nil {
		t.Fatalf("%v: %s", err, args[len(want)])
	}
	return strings.ReplaceAll(b.String(), `\/`, "/")
}

// TestMessages: what each helper sends, to the octet. Fields and their order are
// those of the table of notify_proto actions.
func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name, script, want string
		options            []string
	}{
		{"update, link only", `proto_init_update eth0 1; proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"interface":"wan"}`, nil},
		{"update, any device, down", `proto_init_update '*' 0; proto_send_update wan`,
			`{"action":0,"link-up":false,"keep":false,"interface":"wan"}`, nil},
		{"update, no device, external, keep", `proto_init_update "" 1 1; proto_set_keep 1; proto_send_update wan`,
			`{"action":0,"link-up":true,"address-external":true,"keep":true,"interface":"wan"}`, nil},
		{"ipv4 addresses", `proto_init_update eth0 1
proto_add_ipv4_address 10.0.0.2 24 10.0.0.255
proto_add_ipv4_address 10.1.0.2 255.255.255.255 "" 10.1.0.9
proto_add_ipv4_address 10.2.0.2
proto_add_ipv4_address 10.3.0.2/16
proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"ipaddr":[{"ipaddr":"10.0.0.2","mask":"24","broadcast":"10.0.0.255"},{"ipaddr":"10.1.0.2","mask":"255.255.255.255","ptp":"10.1.0.9"},{"ipaddr":"10.2.0.2"},{"ipaddr":"10.3.0.2","mask":"16"}],"interface":"wan"}`, nil},
		{"ipv6 addresses", `proto_init_update eth0 1
proto_add_ipv6_address 2001:db8::2 64 1800 3600 1 cls
proto_add_ipv6_address 2001:db8::3 64 0 60
proto_add_ipv6_address 2001:db8::4/48 "" 5
proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"ip6addr":[{"ipaddr":"2001:db8::2","mask":"64","preferred":1800,"valid":3600,"offlink":true,"class":"cls"},{"ipaddr":"2001:db8::3","mask":"64","preferred":0,"valid":60},{"ipaddr":"2001:db8::4","mask":"48","preferred":5}],"interface":"wan"}`, nil},
		{"routes", `proto_init_update eth0 1
proto_add_ipv4_route 0.0.0.0 0 10.0.0.1
proto_add_ipv4_route 10.60.0.0 16 10.0.0.9 10.0.0.2/32 42
proto_add_ipv6_route :: 0 fe80::1 "" 1800
proto_add_ipv6_route 2001:db8:77:: 48 fe80::1 5 600 2001:db8::/64 123
proto_add_ipv6_route 2001:db8:78:: 48
proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"routes":[{"target":"0.0.0.0","netmask":"0","gateway":"10.0.0.1"},{"target":"10.60.0.0","netmask":"16","gateway":"10.0.0.9","metric":42,"source":"10.0.0.2/32"}],"routes6":[{"target":"::","netmask":"0","gateway":"fe80::1","valid":1800},{"target":"2001:db8:77::","netmask":"48","gateway":"fe80::1","metric":5,"valid":600,"source":"2001:db8::/64","table":"123"},{"target":"2001:db8:78::","netmask":"48"}],"interface":"wan"}`, nil},
		{"a delegated prefix, valid then preferred, as the daemon reads it", `proto_init_update eth0 1
proto_add_ipv6_prefix 2001:db8:1::/56 3600 1800
proto_add_ipv6_prefix 2001:db8:2::/56
proto_add_ipv6_prefix 2001:db8:3::/56 600
proto_add_ipv6_prefix 2001:db8:4::/56,1800,3600,class=x
proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"ip6prefix":["2001:db8:1::/56,1800,3600","2001:db8:2::/56","2001:db8:3::/56,600,600","2001:db8:4::/56,1800,3600,class=x"],"interface":"wan"}`, nil},
		{"dns", `proto_init_update eth0 1; proto_add_dns_server 10.0.0.53; proto_add_dns_server "  2001:db8::53
 9.9.9.9 "; proto_add_dns_server ""; proto_add_dns_search 'lab.example *'; proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"dns":["10.0.0.53","2001:db8::53","9.9.9.9"],"dns_search":["lab.example","*"],"interface":"wan"}`, nil},
		{"neighbours", `proto_init_update eth0 1; proto_add_ipv4_neighbor 10.0.0.77 02:00:00:00:00:77 1; proto_add_ipv6_neighbor fe80::77 02:00:00:00:00:77 "" 1; proto_add_ipv6_neighbor fe80::78 02:00:00:00:00:78 0 0; proto_send_update wan`,
			`{"action":0,"ifname":"eth0","link-up":true,"keep":false,"neighbor":[{"ipaddr":"10.0.0.77","mac":"02:00:00:00:00:77","proxy":true}],"neighbor6":[{"ipaddr":"fe80::77","mac":"02:00:00:00:00:77","router":true},{"ipaddr":"fe80::78","mac":"02:00:00:00:00:78","proxy":false,"router":false}],"interface":"wan"}`, nil},
		{"tunnel and data", `proto_init_update t0 1
proto_add_tunnel; json_add_string mode sit; json_add_int mtu 1280; json_add_object data; json_add_string encaplimit 4; json_close_object; proto_close_tunnel
proto_add_data; json_add_string leasetime 3600; json_add_boolean b 1; json_add_array l; proto_add_ipv6_route 2001:db8:: 128; json_push_int 7; json_close_array; proto_close_data
proto_send_update wan`,
			`{"action":0,"ifname":"t0","link-up":true,"tunnel":{"mode":"sit","mtu":1280,"data":{"encaplimit":"4"}},"data":{"leasetime":"3600","b":true,"l":[7]},"keep":false,"routes6":[{"target":"2001:db8::","netmask":"128"}],"interface":"wan"}`, nil},
		{"what is left open is closed", `proto_init_update t0 1; proto_add_data; json_add_array l; json_add_object; proto_send_update wan`,
			`{"action":0,"ifname":"t0","link-up":true,"data":{"l":[{}]},"keep":false,"interface":"wan"}`, nil},
		{"nothing stays from the update before", `proto_init_update a 1; proto_add_ipv4_address 10.0.0.2; proto_add_dns_server 9.9.9.9; proto_set_keep 1; proto_init_update b 1; proto_send_update wan`,
			`{"action":0,"ifname":"b","link-up":true,"keep":false,"interface":"wan"}`, nil},
		{"run", `proto_export "INTERFACE=wan"; proto_export "X=it's \$y"; proto_run_command wan udhcpc -s '/a b' "" "\"q\""`,
			`{"action":1,"command":["udhcpc","-s","/a b","","\"q\""],"env":["INTERFACE=wan","X=it's $y"],"interface":"wan"}`, nil},
		{"run without environment", `proto_run_command wan true`, `{"action":1,"command":["true"],"interface":"wan"}`, nil},
		{"kill", `proto_kill_command wan`, `{"action":2,"interface":"wan"}`, nil},
		{"kill with a signal", `proto_kill_command wan 10`, `{"action":2,"signal":10,"interface":"wan"}`, nil},
		{"error", `proto_notify_error wan MY_ERROR "some data" more`, `{"action":3,"error":["MY_ERROR","some data","more"],"interface":"wan"}`, nil},
		{"block", `proto_block_restart wan`, `{"action":4,"interface":"wan"}`, nil},
		{"available", `proto_set_available wan 0`, `{"action":5,"available":false,"interface":"wan"}`, nil},
		{"host dependency", `proto_add_host_dependency wan 192.0.2.1`, `{"action":6,"host":"192.0.2.1","interface":"wan"}`, []string{"-S"}},
		{"host dependency over", `proto_add_host_dependency wan 2001:db8::1 wan6`, `{"action":6,"host":"2001:db8::1","ifname":"wan6","interface":"wan"}`, []string{"-S"}},
		{"failed", `proto_setup_failed wan`, `{"action":7,"interface":"wan"}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				w.run(t, sourceProto+c.script).want(t, "", "", 0)
				calls := w.calls(t, "ubus.log")
				if len(calls) != 1 {
					t.Fatalf("%d calls: %q", len(calls), calls)
				}
				if got := message(t, calls[0], c.options...); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		})
	}
}

// TestConfigurationStays: the messages are not built where the script's
// configuration is.
func TestConfigurationStays(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		w.env = append(w.env, "UBUS_RC=4")
		r := w.run(t, sourceProto+`json_load '{"a":1,"o":{"b":2}}'; json_select o
for f in proto_block_restart proto_setup_failed proto_kill_command "proto_notify_error wan"; do $f wan; echo $?; done
proto_run_command wan x; proto_add_host_dependency wan 192.0.2.1; echo $?
proto_init_update eth0 1; proto_add_data; json_add_int z 1; proto_send_update wan; echo $?
json_get_var v b; json_select ..; json_dump; echo $v`)
		r.want(t, "4\n4\n4\n4\n4\n4\n{ \"a\": 1, \"o\": { \"b\": 2 } }\n2\n", "", 0)
	})
}

// TestRefused: what cannot be told.
func TestRefused(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		w.run(t, sourceProto+`proto_send_update wan`).want(t, "", "WARNING: proto_send_update without proto_init_update\n", 1)
		w.run(t, sourceProto+`proto_init_update e 1; proto_add_ipv4_address "10.0.0.1
10.0.0.2"`).want(t, "", "WARNING: a line break in an address or route: left out\n", 1)
		if c := w.calls(t, "ubus.log"); c != nil {
			t.Errorf("%q", c)
		}
	})
}

const everything = `#!/bin/sh
[ -n "$INCLUDE_ONLY" ] || {
	. "$LIB/lib/functions.sh"
	. ../netifd-proto.sh
	init_proto "$@"
}
proto_all_init_config() {
	no_device=1 no_device_config=1 no_proto_task=1 available=1 renew_handler=1
	restart_handler=1 lasterror=1 teardown_on_l3_link_down=1
	proto_config_add_int n
	proto_config_add_array 'l:list(string)'
	proto_config_add_string s
	proto_config_add_boolean b:bool
	proto_config_add_defaults
}
show() { echo "$proto $cmd [$1] [$2] [$interface] [$ifname] ERROR=$ERROR n=$n s=$s"; }
proto_all_setup() { json_get_vars n s; show "$@"; proto_run_command "$1" sleep 1; return 3; }
proto_all_teardown() { json_get_vars n s; show "$@"; }
proto_all_renew() { json_get_vars n s; show "$@"; }
proto_all_restart() { json_get_vars n s; show "$@"; }
proto_few_setup() { echo "few"; exit 5; }
[ -n "$INCLUDE_ONLY" ] || {
	add_protocol all
	add_protocol few
}
`

// addon makes an addon folder with the script in proto/, and runs it as the
// daemon does.
func (w *world) addon(t testing.TB, text string, args ...string) result {
	t.Helper()
	name := w.write(t, "addon/proto/x.sh", text)
	for _, f := range []string{"netifd-proto.sh", "utils.sh"} {
		b, err := netifd.Files.ReadFile("lib/netifd/" + f)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, "addon/"+f, string(b))
	}
	argv := slices.Concat(w.shell[1:], []string{"./x.sh"}, args)
	c := exec.Command(w.shell[0], argv...)
	c.Dir = strings.TrimSuffix(name, "/x.sh")
	return w.exec(t, c)
}

// TestDump: one line of JSON per protocol, with all that the daemon reads.
func TestDump(t *testing.T) {
	const all = `{"name":"all","config":[["n",5],["l:list(string)",1],["s",3],["b:bool",7],["defaultroute",7],["peerdns",7],["renew",7],["metric",5]],"no-device":true,"no-device-config":true,"no-proto-task":true,"available":true,"renew-handler":true,"restart-handler":true,"lasterror":true,"teardown-on-l3-link-down":true}`
	const few = `{"name":"few","config":[],"no-device":false,"no-device-config":false,"no-proto-task":false,"available":false,"renew-handler":false,"restart-handler":false,"lasterror":false,"teardown-on-l3-link-down":false}`
	eachShell(t, func(t *testing.T, w *world) {
		r := w.addon(t, everything, "", "dump")
		if r.rc != 0 || r.stderr != "" {
			t.Fatalf("%+v", r)
		}
		lines := strings.Split(r.stdout, "\n")
		if len(lines) != 3 || lines[2] != "" {
			t.Fatalf("%q", lines)
		}
		for i, want := range []string{all, few} {
			var b bytes.Buffer
			if err := json.Compact(&b, []byte(lines[i])); err != nil {
				t.Fatal(err)
			}
			if b.String() != want {
				t.Errorf("got  %s\nwant %s", b.String(), want)
			}
		}
	})
}

// TestRun: setup and the rest reach the function of their protocol, with the
// configuration loaded and the status of the function.
func TestRun(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		const config = `{"proto":"all","n":5,"s":"it's"}`
		w.env = append(w.env, "ERROR=11")
		w.addon(t, everything, "all", "setup", "wan", config, "eth0").
			want(t, "all setup [wan] [eth0] [wan] [eth0] ERROR=11 n=5 s=it's\n", "", 3)
		if c := w.calls(t, "ubus.log"); len(c) != 1 || message(t, c[0]) != `{"action":1,"command":["sleep","1"],"interface":"wan"}` {
			t.Errorf("%q", c)
		}
		for _, verb := range []string{"teardown", "renew", "restart"} {
			w.addon(t, everything, "all", verb, "wan", config).
				want(t, "all "+verb+" [wan] [] [wan] [] ERROR=11 n=5 s=it's\n", "", 0)
		}
		w.addon(t, everything, "few", "setup", "wan", "{}").want(t, "few\n", "", 5)
		w.addon(t, everything, "few", "teardown", "wan", "{}").want(t, "", "", 0)
		w.addon(t, everything, "few", "renew", "wan", "{}").want(t, "", "protocol few: no renew\n", 1)
		w.addon(t, everything, "other", "setup", "wan", "{}").want(t, "", "", 0)
		w.addon(t, everything, "all", "nonsense", "wan", "{}").want(t, "", "", 0)
		w.addon(t, everything, "all", "setup", "wan", "{broken").
			want(t, "all setup [wan] [] [wan] [] ERROR=11 n= s=\n", "Failed to parse message data\n", 3)
	})
}

// TestSystem: what scripts expect of the system around them.
func TestSystem(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		w.run(t, sourceProto+`ifdown wan_; ifup -w a b`).want(t, "", "", 0)
		want := [][]string{{"call", "network.interface.wan_", "down"}, {"call", "network.interface.a", "up"}, {"call", "network.interface.b", "up"}}
		if c := w.calls(t, "ubus.log"); !reflect.DeepEqual(c, want) {
			t.Errorf("%q", c)
		}
		w.write(t, "bin/getent", "#!/bin/sh\n[ \"$2\" = host ] || exit 2\ncase $1 in ahostsv6) echo '::ffff:192.0.2.1 STREAM host'; echo '2001:db8::1 STREAM';; *) echo '192.0.2.1 STREAM host'; echo '192.0.2.1 DGRAM'; echo '192.0.2.2 STREAM';; esac\n")
		w.run(t, sourceProto+`resolveip -4 -t 5 host; echo $?; resolveip -6 host; resolveip host; resolveip -t 1 none; echo $?`).
			want(t, "192.0.2.1\n192.0.2.2\n0\n2001:db8::1\n192.0.2.1\n192.0.2.2\n1\n", "", 0)
	})
}

// TestShellOfScripts: what ash understands and dash does not works under both,
// once the script has asked for its protocol.
func TestShellOfScripts(t *testing.T) {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Skip("busybox is not installed")
	}
	const script = `#!/bin/sh
. ../netifd-proto.sh
init_proto "$@"
proto_x_setup() {
	local id
	json_get_vars id
	[[ "$2" == eth* ]] && echo "${id//:/} ${id:0:2} $(kill -l SIGUSR1) [${PROTO_SHELL-}]"
}
add_protocol x
`
	eachShell(t, func(t *testing.T, w *world) {
		w.env = slices.DeleteFunc(w.env, func(s string) bool { return s == "PROTO_SHELL=this" })
		again := "[]" // not begun anew
		if w.shell[0] == "dash" {
			again = "[ash]"
		}
		w.addon(t, script, "x", "setup", "wan", `{"id":"aa:bb it's"}`, "eth 0").want(t, "aabb it's aa 10 "+again+"\n", "", 0)

		// Without busybox it stays as it is.
		w.write(t, "bin/busybox", "#!/bin/sh\nexit 1\n")
		if w.shell[0] == "dash" {
			if r := w.addon(t, script, "x", "setup", "wan", "{}", "eth0"); r.rc == 0 {
				t.Errorf("%+v", r)
			}
			if r := w.addon(t, script, "", "dump"); r.rc != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, `{ "name": "x"`) {
				t.Errorf("%+v", r)
			}
		}
	})
}

// TestKill: the numbers of signals under dash too, and the rest as ever.
func TestKill(t *testing.T) {
	eachShell(t, func(t *testing.T, w *world) {
		r := w.run(t, sourceProto+`kill -l SIGUSR1; kill -l USR1; kill -l TERM; kill -l 10; kill -0 $$; echo $?; sleep 100 & kill -TERM $!; wait $! 2>/dev/null; echo $?`)
		r.want(t, "10\n10\n15\nUSR1\n0\n143\n", "", 0)
		if r := w.run(t, sourceProto+`kill -l SIGNONE`); r.rc == 0 || r.stdout != "" || r.stderr == "" {
			t.Errorf("%+v", r)
		}
	})
}
