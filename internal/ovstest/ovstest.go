package ovstest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netbraid/internal/nstest"
)

// OVS is the two daemons of Open vSwitch, each of which may be killed and
// started again.
type OVS struct {
	Dir      string // of its database and sockets
	Server   *nstest.Program
	Vswitchd *nstest.Program

	t    testing.TB
	ns   *nstest.NS
	args []string // of ovs-vswitchd
}

// New starts both daemons in a namespace, with an empty database. args are more
// options of ovs-vswitchd: with --disable-system it leaves the kernel's datapath
// alone. Without Open vSwitch the test is skipped, with the reason.
func New(t testing.TB, ns *nstest.NS, args ...string) *OVS {
	t.Helper()
	nstest.Need(t, "ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovsdb-client", "ovs-vsctl")
	dir, err := os.MkdirTemp("/tmp", "ovs") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	o := &OVS{Dir: dir, t: t, ns: ns, args: args}
	ns.IP("link set lo up")
	o.NewDatabase()
	o.StartServer()
	o.StartVswitchd()
	return o
}

// Target is where ovsdb-server listens, as clients write it.
func (o *OVS) Target() string { return "unix:" + o.Dir + "/db.sock" }

// NewDatabase makes the database anew, empty. ovsdb-server must not run.
func (o *OVS) NewDatabase() {
	o.t.Helper()
	file := filepath.Join(o.Dir, "conf.db")
	if err := os.Remove(file); err != nil && !os.IsNotExist(err) {
		o.t.Fatal(err)
	}
	o.ns.Run("ovsdb-tool create " + file + " /usr/share/openvswitch/vswitch.ovsschema")
}

// StartServer starts ovsdb-server, with more options, and waits until it
// answers. The database is as it was left: nothing is written to it.
func (o *OVS) StartServer(args ...string) {
	o.t.Helper()
	o.Server = o.start(append([]string{"ovsdb-server", filepath.Join(o.Dir, "conf.db"), "--remote=p" + o.Target(), "--unixctl=" + o.Dir + "/dbctl"}, args...))
	nstest.Eventually(o.t, 10*time.Second, func() string {
		out, err := o.ns.Try("ovsdb-client", "--timeout=2", "list-dbs", o.Target())
		switch {
		case err != nil:
			return err.Error() + " " + o.Server.Output()
		case !strings.Contains(out, "Open_vSwitch"):
			return "ovsdb-server has the databases " + out
		}
		return ""
	})
}

// StartVswitchd starts ovs-vswitchd, which is not waited for: it carries out
// what it finds in the database when it is there.
func (o *OVS) StartVswitchd() {
	o.t.Helper()
	o.Vswitchd = o.start(append([]string{"ovs-vswitchd", o.Target(), "--unixctl=" + o.Dir + "/vctl"}, o.args...))
}

func (o *OVS) start(args []string) *nstest.Program {
	o.t.Helper()
	env := []string{"OVS_RUNDIR=" + o.Dir, "OVS_DBDIR=" + o.Dir, "OVS_LOGDIR=" + o.Dir, "OVS_SYSCONFDIR=" + o.Dir}
	return o.ns.Start(env, append(args, "--no-chdir", "-vconsole:warn", "-vsyslog:off")...)
}

// Try runs ovs-vsctl.
func (o *OVS) Try(args ...string) (string, error) {
	return o.ns.Try("ovs-vsctl", append([]string{"--timeout=20", "--db=" + o.Target()}, args...)...)
}

// Vsctl runs ovs-vsctl with a line of words, which must succeed, and gives what
// it prints, trimmed.
func (o *OVS) Vsctl(line string) string {
	o.t.Helper()
	out, err := o.Try(strings.Fields(line)...)
	if err != nil {
		o.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}
