package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"netbraid/internal/api"
	"netbraid/internal/core"
	"netbraid/internal/daemon"
	"netbraid/internal/helper"
	"netbraid/internal/hotplug"
	"netbraid/internal/ovs/ovsdb"
	"netbraid/internal/resolv"
	"netbraid/ubus"
)

// daemonFlags are the options of `netbraid daemon`; the short ones are
// netifd's.
type daemonFlags struct {
	config, run, state string
	addons, hotplug    string
	resolv             string
	level              int
	debug              uint32
	stderr             bool
	format             string
	teardown           bool
	ovsdb              ovsdb.Options
}

const daemonLong = `Keeps the network as DIR/network says until it is told to end. Needs root.

It serves ubus at the socket itself when no ubusd listens there. It logs to the
system log, or to standard error with -S, on a terminal, or without a system log.

Signals: SIGTERM, SIGINT, SIGUSR1, SIGUSR2 end it (what is configured stays in
the kernel, and the next daemon takes it over; see --teardown-on-exit); SIGHUP
reads the configuration again.

With NOTIFY_SOCKET set it tells the service manager READY=1 once the first
configuration is in place as far as it can be.

For what happens to interfaces the program of -h is called with the argument
iface and netifd's environment; where it does not exist the scripts in
/etc/hotplug.d/iface are run, each for at most 60 s.

The DNS servers of the interfaces that are up are written to the file of -r, and
told to resolvconf or systemd-resolved where one of them owns /etc/resolv.conf.
Otherwise that file is not touched, unless -r names it.

Every script in ADDONS/proto/*.sh (-p) is asked for its protocols at the start.
Where there are scripts and the shell library that they source is missing, it is
put where OpenWrt has it (/lib/functions.sh, /lib/netifd and others; nothing that
is there is touched). The commands ubus, uci and jshn are found in the run
directory by scripts on a system without them.
Note that -h takes an argument here, as with netifd; --help is this text.`

func (a *app) daemonCmd() *cobra.Command {
	f := &daemonFlags{}
	c := a.client(&cobra.Command{
		Use:     "daemon",
		Aliases: []string{"netifd"},
		Short:   "Run the daemon, in the foreground",
		Long:    daemonLong,
		Example: `  netbraid daemon
  netbraid daemon -c /tmp/config -s /tmp/ubus.sock --run-dir /tmp/run --state-dir /tmp/lib -S -l 4
  netifd -S`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error { return a.daemon(c.Context(), f) },
	}, false)
	fl := c.Flags()
	fl.SortFlags = false
	fl.StringVarP(&f.config, "config", "c", daemon.DefaultConfigDir, "configuration `dir`ectory")
	fl.IntVarP(&f.level, "log-level", "l", 2, "what to log: 0 critical, 1 warning, 2 and 3 notice, 4 debug (`level`)")
	fl.Uint32VarP(&f.debug, "debug", "d", 0, "debug `mask`, as netifd's; any bit switches all debug messages on")
	fl.BoolVarP(&f.stderr, "stderr", "S", false, "log to standard error")
	fl.StringVar(&f.format, "log-format", "text", "`format` of log lines: text or json")
	fl.StringVar(&f.run, "run-dir", daemon.DefaultRunDir, "`dir`ectory for what is known of this boot")
	fl.StringVar(&f.state, "state-dir", daemon.DefaultStateDir, "`dir`ectory for what outlives a boot (the last good configuration)")
	fl.BoolVar(&f.teardown, "teardown-on-exit", false, "take everything of ours away at the end")
	fl.StringVarP(&f.addons, "addons", "p", helper.DefaultAddons, "`dir`ectory of protocol scripts (in proto/*.sh)")
	fl.StringVarP(&f.hotplug, "hotplug", "h", hotplug.DefaultProgram, "`program` called for events")
	fl.StringVarP(&f.resolv, "resolv-conf", "r", "", "resolv.conf `file` to write (default "+resolv.OpenWrtFile+" on OpenWrt, else resolv.conf in the run directory)")
	fl.StringVar(&f.ovsdb.Target, "ovsdb", "", "where ovsdb-server listens: unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT (`target`; default "+ovsdb.DefaultTarget()+")")
	fl.StringVar(&f.ovsdb.Cert, "ovsdb-cert", "", "for ssl: our certificate (PEM `file`)")
	fl.StringVar(&f.ovsdb.Key, "ovsdb-key", "", "for ssl: its key (PEM `file`)")
	fl.StringVar(&f.ovsdb.CACert, "ovsdb-ca", "", "for ssl: the certificate of who has signed the server's (PEM `file`)")
	fl.StringVar(&f.ovsdb.ID, "ovsdb-id", "", "`mark` of our rows in the database, as external_ids:netbraid; another for each daemon (default made of /etc/machine-id and the run directory)")
	fl.Bool("help", false, "this text")
	return c
}

// daemon runs until a signal ends it.
func (a *app) daemon(ctx context.Context, f *daemonFlags) error {
	log, err := f.logging(a.err)
	if err != nil {
		return err
	}
	if !mayAdminister() {
		return errors.New("the daemon may not change the network here: it needs root (CAP_NET_ADMIN)")
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	if f.run, err = filepath.Abs(f.run); err != nil { // scripts run elsewhere, and find our tools below it
		return err
	}
	if err := helper.Prepare(f.run, f.addons, "/", log); err != nil {
		log.Warn("protocol scripts may lack what they need", "error", err)
	}
	protos := helper.Registry(ctx, f.addons, f.run, log)
	var srv *api.Server
	d, err := daemon.New(daemon.Options{
		Protos: protos, Socket: a.socket, OVSDB: f.ovsdb,
		ConfigDir: f.config, RunDir: f.run, StateDir: f.state, NSFD: -1,
		TeardownOnExit: f.teardown, Log: log, Hotplug: &hotplug.Options{Program: f.hotplug},
		Resolv:  &resolv.Options{File: f.resolv, Tell: true},
		Publish: func(c *core.Core, act core.Action, now time.Time) { srv.Publish(c, act, now) },
	})
	if err != nil {
		return err
	}
	bus, err := ubus.Open(ctx, ubus.BusOptions{Path: a.socket, Log: log})
	if err != nil && ctx.Err() != nil {
		return nil // told to end before it began
	}
	if err != nil {
		return err
	}
	defer bus.Close()
	srv, err = api.NewServer(d, bus, api.Options{NSFD: -1, Protos: protos, Version: version(), Log: log})
	if err != nil {
		return err
	}
	log.Info("netbraid starts", "version", version(), "config", f.config, "socket", a.socket,
		"bus", map[bool]string{true: "our own", false: "ubusd's"}[bus.Embedded() != nil])
	go a.follow(ctx, d, bus, hup, log)
	err = d.Run(ctx)
	tell(log, "STOPPING=1")
	if err == nil {
		log.Info("netbraid ends", "teardown", f.teardown)
	}
	return err
}

// mayAdminister tells whether this process has CAP_NET_ADMIN
// (capabilities(7)).
func mayAdminister() bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&hdr, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0
}

// follow tells when the daemon is ready, and hands SIGHUP to it and to the
// broker, which reads its access lists again.
func (a *app) follow(ctx context.Context, d *daemon.Daemon, bus ubus.Bus, hup <-chan os.Signal, log *slog.Logger) {
	settled := d.Settled()
	for {
		select {
		case <-ctx.Done():
			return
		case <-settled:
			settled = nil
			log.Info("ready")
			tell(log, "READY=1")
		case <-hup:
			tell(log, reloading())
			if b := bus.Embedded(); b != nil {
				b.ReloadACL()
			}
			read := make(chan struct{})
			if !d.Call(func(*core.Core, time.Time) {
				_ = d.Reload() // it logs what is wrong
				close(read)
			}) {
				log.Warn("SIGHUP: too much to do to read the configuration now; send it again")
				close(read)
			}
			select {
			case <-ctx.Done():
				return
			case <-read:
				tell(log, "READY=1")
			}
		}
	}
}

// reloading is what sd_notify(3) wants to hear before a reload.
func reloading() string {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", ts.Nano()/1000)
}

func tell(log *slog.Logger, state string) {
	if err := sdNotify(state); err != nil {
		log.Warn("cannot tell the service manager", "state", state, "error", err)
	}
}
