package shelllib

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

var paths = []string{
	"/lib/config/uci.sh", "/lib/functions.sh", "/lib/functions/network.sh",
	"/lib/netifd/netifd-proto.sh", "/lib/netifd/utils.sh", "/usr/share/libubox/jshn.sh",
}

// TestInstall: everything into an empty root, nothing twice, nothing over what
// others have put there.
func TestInstall(t *testing.T) {
	if got := Paths(); !slices.Equal(got, paths) {
		t.Fatalf("paths %q", got)
	}
	root := t.TempDir()
	old := syscall.Umask(0o077)
	written, err := Install(root)
	syscall.Umask(old)
	if err != nil || !slices.Equal(written, paths) {
		t.Fatalf("%q %v", written, err)
	}
	for _, p := range paths {
		if st, err := os.Lstat(root + p); err != nil || st.Mode() != 0o644 {
			t.Errorf("%s: %v %v", p, st.Mode(), err)
		}
	}
	if written, err := Install(root); err != nil || written != nil {
		t.Errorf("again: %q %v", written, err)
	}
	foreign := root + paths[1]
	if err := os.WriteFile(foreign, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Remove(root + paths[2])
	if d, err := Differing(root); err != nil || !slices.Equal(d, paths[1:2]) {
		t.Errorf("differing: %q %v", d, err)
	}
	if written, err := Install(root); err != nil || !slices.Equal(written, paths[2:3]) {
		t.Errorf("third: %q %v", written, err)
	}
	if b, _ := os.ReadFile(foreign); string(b) != "theirs" {
		t.Errorf("%q", b)
	}
	// Nothing is left beside the files.
	count := 0
	filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			count++
		}
		return err
	})
	if count != len(paths) {
		t.Errorf("%d files", count)
	}
}

// TestInstallLinks: a root like Debian's, where /lib is a link; and one whose
// links lead out of it.
func TestInstallLinks(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	os.MkdirAll(root+"/usr/lib", 0o755)
	if err := os.Symlink("usr/lib", root+"/lib"); err != nil {
		t.Fatal(err)
	}
	if _, err := Install(root); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(root + "/usr/lib/netifd/utils.sh"); err != nil {
		t.Error(err)
	}
	root = t.TempDir()
	if err := os.Symlink(outside, root+"/lib"); err != nil {
		t.Fatal(err)
	}
	if written, err := Install(root); err == nil || len(written) != 0 || !strings.Contains(err.Error(), "install shell library below "+root) {
		t.Errorf("%q %v", written, err)
	}
	if e, _ := os.ReadDir(outside); len(e) != 0 {
		t.Errorf("written outside: %v", e)
	}
	if _, err := Differing(root); err == nil {
		t.Error("differing followed the link")
	}
	if _, err := Install(root + "/none"); err == nil {
		t.Error("no error for a root that is not there")
	}
	// What is a folder elsewhere cannot be replaced.
	root = t.TempDir()
	os.MkdirAll(root+"/lib/functions.sh", 0o755)
	if written, err := Install(root); err != nil || slices.Contains(written, "/lib/functions.sh") {
		t.Errorf("%q %v", written, err)
	}
	if _, err := Differing(root); err == nil {
		t.Error("a folder reads like a file")
	}
}

// TestShellcheck holds the library to what shellcheck asks of a dash script.
func TestShellcheck(t *testing.T) {
	if _, err := exec.LookPath("shellcheck"); err != nil {
		t.Skip("shellcheck is not installed")
	}
	args := []string{"-f", "gcc"}
	for _, p := range paths {
		args = append(args, "../../share/netifd"+p)
	}
	if out, err := exec.Command("shellcheck", args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// labtest is a handler as they are written for OpenWrt: absolute paths, and the
// modes of the recorded run host-proto-shell.
const labtest = `#!/bin/sh
. /lib/functions.sh
. /lib/functions/network.sh
. ../netifd-proto.sh
init_proto "$@"

proto_labtest_init_config() {
	proto_config_add_string mode
	proto_config_add_int num
	proto_config_add_boolean flag
	proto_config_add_array items
	renew_handler=1
}

add_item() { append "$3" "<$1>"; }

proto_labtest_setup() {
	local config="$1" iface="$2" mode num flag items all
	json_get_vars mode num flag
	json_for_each_item add_item items all
	echo "setup $mode $num $flag $all"
	config_load network
	config_get ipaddr lan ipaddr
	network_get_device dev lan
	echo "lan $ipaddr $dev"
	case "$mode" in
	full)
		proto_export "INTERFACE=$config"
		proto_run_command "$config" sleep 1000
		proto_init_update "$iface" 1
		proto_add_ipv4_address 10.50.0.2 24
		proto_add_ipv4_address 10.51.0.2 32 "" 10.51.0.9
		proto_add_ipv4_route 0.0.0.0 0 10.50.0.1
		proto_add_ipv6_prefix 2001:db8:5000::/56 3600 1800
		proto_add_data
		json_add_string leasetime 3600
		proto_close_data
		proto_send_update "$config"
		;;
	error)
		proto_notify_error "$config" MY_ERROR "some data" more
		proto_block_restart "$config"
		;;
	esac
}

proto_labtest_renew() {
	local config="$1"
	proto_init_update "*" 1
	proto_set_keep 1
	proto_add_ipv4_address 10.50.0.3 24
	proto_send_update "$config"
}

proto_labtest_teardown() {
	proto_kill_command "$1"
}

add_protocol labtest
`

// TestUnmodified runs such a handler with the library where Install puts it, in
// a mount namespace of its own.
func TestUnmodified(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("a mount namespace needs root")
	}
	eachShell(t, func(t *testing.T, w *world) {
		w.write(t, "network", "config interface lan\n\toption ipaddr 192.0.2.1\n")
		w.write(t, "proto/labtest.sh", labtest)
		self, _ := os.Executable()
		if err := os.Symlink(self, w.dir+"/bin/install-shelllib"); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(w.dir+"/over", 0o755); err != nil {
			t.Fatal(err)
		}
		w.env = slices.DeleteFunc(w.env, func(s string) bool { return strings.HasPrefix(s, "NETIFD_MAIN_DIR=") || strings.HasPrefix(s, "LIB=") })
		w.env = append(w.env, "UBUS_REPLY="+w.write(t, "reply", `{"interface":[{"interface":"lan","l3_device":"br-lan"}]}`), "W="+w.dir)
		setup := `mount -t tmpfs over "$W/over" || exit 77
over() {
	mkdir -p "$W/over$1/up" "$W/over$1/work" && mount -t overlay over -o "lowerdir=$1,upperdir=$W/over$1/up,workdir=$W/over$1/work" "$1"
}
over /usr || exit 77
[ -L /lib ] || over /lib || exit 77
install-shelllib || exit 78
mkdir -p /lib/netifd/proto && cp "$W/proto/labtest.sh" /lib/netifd/proto && cd /lib/netifd/proto || exit 79
"$@"
`
		run := func(args ...string) result {
			argv := slices.Concat([]string{"-c", setup, "sh"}, w.shell, []string{"./labtest.sh"}, args)
			c := exec.Command("/bin/sh", argv...)
			c.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			r := w.exec(t, c)
			if r.rc == 77 {
				t.Skipf("no overlay file system: %s", r.stderr)
			}
			return r
		}
		if r := run("", "dump"); r.rc != 0 || r.stderr != "" || !strings.HasPrefix(r.stdout, `{ "name": "labtest", "config": [ [ "mode", 3 ], [ "num", 5 ], [ "flag", 7 ], [ "items", 1 ] ], "no-device": false,`) {
			t.Errorf("%+v", r)
		}
		reply := `{"interface":[{"interface":"lan","l3_device":"br-lan"}]}`
		const config = `{"proto":"labtest","mode":"%s","num":5,"flag":true,"items":["a b","c"]}`
		run("labtest", "setup", "full", fmt.Sprintf(config, "full"), "eth2").
			want(t, "setup full 5 1 <a b> <c>\nlan 192.0.2.1 br-lan\n"+strings.Repeat(reply, 2), "", 0)
		run("labtest", "setup", "err", fmt.Sprintf(config, "error"), "eth5").
			want(t, "setup error 5 1 <a b> <c>\nlan 192.0.2.1 br-lan\n"+strings.Repeat(reply, 2), "", 0)
		run("labtest", "renew", "full", fmt.Sprintf(config, "full"), "eth2").want(t, reply, "", 0)
		run("labtest", "teardown", "full", fmt.Sprintf(config, "full")).want(t, reply, "", 0)
		var got []string
		for _, args := range w.calls(t, "ubus.log") {
			if args[2] != "dump" {
				got = append(got, message(t, args))
			}
		}
		want := []string{
			`{"action":1,"command":["sleep","1000"],"env":["INTERFACE=full"],"interface":"full"}`,
			`{"action":0,"ifname":"eth2","link-up":true,"data":{"leasetime":"3600"},"keep":false,"ipaddr":[{"ipaddr":"10.50.0.2","mask":"24"},{"ipaddr":"10.51.0.2","mask":"32","ptp":"10.51.0.9"}],"routes":[{"target":"0.0.0.0","netmask":"0","gateway":"10.50.0.1"}],"ip6prefix":["2001:db8:5000::/56,1800,3600"],"interface":"full"}`,
			`{"action":3,"error":["MY_ERROR","some data","more"],"interface":"err"}`,
			`{"action":4,"interface":"err"}`,
			`{"action":0,"link-up":true,"keep":true,"ipaddr":[{"ipaddr":"10.50.0.3","mask":"24"}],"interface":"full"}`,
			`{"action":2,"interface":"full"}`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if _, err := os.Stat("/lib/netifd/proto/labtest.sh"); err == nil {
			t.Error("the namespace leaks")
		}
	})
}
