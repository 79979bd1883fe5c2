package shelllib

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"netbraid/uci"
)

const sourceFunctions = `. "$LIB/lib/functions.sh"` + "\n"

const network = `
config interface 'lan'
	option proto 'static'
	option title 'it'\''s a
two

line "$(id)" title'
	list dns '192.0.2.1'
	list dns 'two words'
	list dns ''
	option auto 'off'

config interface
	option proto 'dhcp'
	option metric '7'

config 'x;$(id)' 'odd'
	option a 'b'

config interface 'wan'
	option proto 'none'
	list dns '192.0.2.9'
	option up 'yes'
`

// TestFunctions: the helpers around UCI.
func TestFunctions(t *testing.T) {
	const load = "config_load network; "
	for _, c := range []struct{ name, script, stdout, stderr string }{
		{"get", load + `config_get v lan title; printf '%s|' "$v"; config_get v lan dns; echo "$v"; config_get v lan none dflt; echo "$v"; config_get v lan none; echo "[$v]"; config_get lan proto; config_get lan none; config_get lan none '' d`,
			"it's a\ntwo\n\nline \"$(id)\" title|192.0.2.1 two words\ndflt\n[]\nstatic\n\nd\n", ""},
		{"a name that cannot be", load + `v=1; config_get v 'a-b;id' x d; echo $v; config_get v lan '$(id)'; echo "[$v]"; config_set 'a b' c d; echo $?; config_get 'l;n' x '' d`, "d\n[]\n1\nd\n", ""},
		{"bool", load + `for d in '' 1; do config_get_bool v lan auto $d; printf %s, "$v"; config_get_bool v wan up $d; printf %s, "$v"; config_get_bool v wan proto $d; printf %s, "$v"; done; get_bool on; get_bool no; get_bool x d`, "0,1,,0,1,1,10d", ""},
		{"sections", load + `echo "$CONFIG_SECTIONS $CONFIG_NUM_SECTIONS $CONFIG_SECTION"; config_get v odd TYPE; echo "$v"; f() { echo "$1 $2"; }; config_foreach f interface 'x y'; config_foreach "f with"; config_foreach f none`,
			"lan cfg026d96 odd wan 4 wan\nx;$(id)\nlan x y\ncfg026d96 x y\nwan x y\nwith lan\nwith cfg026d96\nwith odd\nwith wan\n", ""},
		{"list", load + `f() { echo "<$1> $2"; }; config_list_foreach lan dns f 'x y'; config_list_foreach wan dns f; config_list_foreach lan none f; config_get v lan dns_LENGTH; echo $v; config_get v lan dns_ITEM2; echo $v; echo "$CONFIG_LIST_STATE"`,
			"<192.0.2.1> x y\n<two words> x y\n<> x y\n<192.0.2.9> \n3\ntwo words\nlan_dns wan_dns\n", ""},
		{"callbacks", `config_cb() { echo "c $# $1 $2"; }; option_cb() { [ "$1" = title ] || echo "o $CONFIG_SECTION $1 $2"; }; list_cb() { echo "l $1 $2"; }; config_load network; reset_cb; config_load network; NO_CALLBACK=1; config_cb() { echo no; }; config_load network`,
			"c 2 interface lan\no lan proto static\nl dns 192.0.2.1\nl dns two words\nl dns \no lan auto off\nc 2 interface cfg026d96\no cfg026d96 proto dhcp\no cfg026d96 metric 7\nc 2 x;$(id) odd\no odd a b\nc 2 interface wan\no wan proto none\nl dns 192.0.2.9\no wan up yes\nc 0  \n", ""},
		{"again", load + load + `config_get v lan dns; echo "$v"; echo $CONFIG_NUM_SECTIONS; CONFIG_APPEND=1; config_load network; echo $CONFIG_NUM_SECTIONS`, "192.0.2.1 two words\n4\n8\n", ""},
		{"no such package", `config_load none; echo $? $CONFIG_NUM_SECTIONS; config_foreach echo; IPKG_INSTROOT=/x; config_load network; echo $? $CONFIG_NUM_SECTIONS`, "1 0\n0 0\n", ""},
		{"a callback may read stdin", `option_cb() { read -r x && echo "$x"; }; printf '1\n2\n' >in; config_load network <in`, "1\n2\n", ""},
		{"append and prepend", `x=; append x a; append x 'b c'; append x ''; append x d ,; echo "$x"; y=; prepend y b; prepend y a; prepend y 0 -; echo "$y"; z='$(id)'; append z '` + "`id`" + `'; echo "$z"`, "a b c,d\n0-a b\n$(id) `id`\n", ""},
		{"list_contains", `x='aa b c*'; for w in a aa b '*' c 'c*' 'aa b'; do list_contains x "$w" && printf 1 || printf 0; done; list_contains none a; echo " $?"`, "0110011 1\n", ""},
		{"include", `mkdir d; echo 'echo one' >d/1.sh; echo 'echo two' >'d/2 x.sh'; include ./d; include ./none`, "one\ntwo\n", ""},
		{"set and unset", load + `config_set lan proto x; config_get lan proto; config_unset lan proto; config_get lan proto; debug echo no; DEBUG=echo; debug yes; echo "[$N]"`, "x\n\nyes\n[\n]\n", ""},
		{"users", `user_exists root && echo root; user_exists no.such || echo none; group_exists root && echo root`, "root\nnone\nroot\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				w.write(t, "network", network)
				r := w.run(t, sourceFunctions+c.script)
				r.rc = 0
				r.want(t, c.stdout, c.stderr, 0)
			})
		})
	}
}

// TestUCI: which uci command each function is.
func TestUCI(t *testing.T) {
	for _, c := range []struct{ script, stdout, want string }{
		{`uci_set p s o 'a b'`, "0\n", "set|p.s.o=a b"},
		{`uci_add p t`, "cfg0a1b2c 0\n", "add|p|t"},
		{`uci_add p t n`, "n 0\n", "set|p.n=t"},
		{`uci_add_list p s l v`, "0\n", "add_list|p.s.l=v"},
		{`uci_remove_list p s l v`, "0\n", "del_list|p.s.l=v"},
		{`uci_rename p s n`, "0\n", "rename|p.s=n"},
		{`uci_rename p s o n`, "0\n", "rename|p.s.o=n"},
		{`uci_remove p s`, "0\n", "del|p.s"},
		{`uci_remove p s o`, "0\n", "del|p.s.o"},
		{`uci_revert p s`, "0\n", "revert|p.s"},
		{`uci_commit p`, "0\n", "commit|p"},
		{`uci_get p s o`, "0\n", "-q|get|p.s.o"},
		{`uci_get missing s o 'd e'`, "d e\n1\n", "-q|get|missing.s.o"},
		{`uci_get_state p s o`, "0\n", "-P|/var/state|-q|get|p.s.o"},
		{`uci_set_state p s o v`, "0\n", "-P|/var/state|set|p.s.o=v"},
		{`uci_toggle_state p s o v`, "0\n", "-P|/var/state|revert|p.s.o -P|/var/state|set|p.s.o=v"},
		{`uci_set_default p`, "0\n", "-q|show|p"},
		{`uci_set_default missing`, "1\n", "-q|show|missing import|missing"},
	} {
		t.Run(c.script, func(t *testing.T) {
			eachShell(t, func(t *testing.T, w *world) {
				w.run(t, sourceFunctions+c.script+`; echo ${CONFIG_SECTION:+"$CONFIG_SECTION" }$?`).want(t, c.stdout, "", 0)
				var got []string
				for _, args := range w.calls(t, "uci.log") {
					got = append(got, strings.TrimPrefix(strings.Join(args, "|"), "-c|"+w.dir+"|"))
				}
				if s := strings.Join(got, " "); s != c.want {
					t.Errorf("%s", s)
				}
			})
		})
	}
}

// FuzzConfigLoad: whatever a configuration file holds, the variables hold the
// same, and nothing of it is run.
func FuzzConfigLoad(f *testing.F) {
	for _, s := range []string{network, "", "config a b", "config a\noption x 'a\n\n\nb'\n", "config a\nlist x \"'\"\nlist x '\n'", "config '$(id)'\noption x '`id`'",
		"config a'b\\ \n", "config interface 'a'\noption b ''\\'''\\'''\nlist c \\\\", "config s\n\toption o '\tx '\n", "config s\noption a 'config b\n\toption c d'"} {
		f.Add([]byte(s))
	}
	w := newWorld(f, shells["dash"])
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := uci.Parse("fuzz", text, uci.Options{NonStrict: true})
		if err != nil || bytes.IndexByte(text, 0) >= 0 || len(text) > 4000 {
			t.Skip()
		}
		w.write(t, "fuzz", string(text))
		var want strings.Builder
		for _, s := range p.Sections {
			fmt.Fprintf(&want, "config|%s|%s\n", s.Type, s.Name)
			for _, o := range s.Options {
				kind := "option"
				if o.List {
					kind = "list"
				}
				for _, v := range o.Values {
					fmt.Fprintf(&want, "%s|%s|%s\n", kind, o.Name, v)
				}
			}
		}
		r := w.run(t, sourceFunctions+`config() { printf 'config|%s|%s\n' "$@"; }; option() { printf 'option|%s|%s\n' "$@"; }; list() { printf 'list|%s|%s\n' "$@"; }; config_load fuzz`)
		r.want(t, want.String(), "", 0)
	})
}
