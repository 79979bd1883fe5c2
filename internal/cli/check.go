package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/internal/config"
	"netbraid/internal/daemon"
	"netbraid/internal/dryrun"
	"netbraid/internal/helper"
	"netbraid/internal/proto"
)

func (a *app) checkCmd() *cobra.Command {
	var dir, addons string
	c := &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration; needs no daemon",
		Long: `Reads DIR/network and prints every problem as
  FILE:LINE: [warning: ]SECTION: option NAME 'VALUE': what is wrong (allowed: …)
A configuration with errors would be refused by reload, as a whole; one with
warnings only is used.
Exit code: 0 no errors (there may be warnings), 1 errors.`,
		Example: `  netbraid check
  netbraid check -c /tmp/new && cp /tmp/new/network /etc/config/ && netbraid reload`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, problems, err := daemon.Load(dir, a.protocols(c.Context(), addons, daemon.DefaultRunDir))
			if err != nil {
				return err
			}
			a.printProblems(problems)
			errs, warnings := countProblems(problems)
			if errs > 0 {
				return exit(exitFailed, "%s in %s/network: a reload would refuse it and change nothing", count(errs, "error"), dir)
			}
			end := ""
			if warnings > 0 {
				end = ", " + count(warnings, "warning")
			}
			if n := len(cfg.Pairs); n > 0 {
				end = ", " + count(n, "pair") + end
			}
			fmt.Fprintf(a.out, "%s/network: good (%s, %s%s)\n", dir,
				count(len(cfg.Interfaces), "interface"), count(len(cfg.Devices), "device"), end)
			return nil
		},
	}
	c.Flags().StringVarP(&dir, "config", "c", daemon.DefaultConfigDir, "configuration `dir`ectory")
	c.Flags().StringVarP(&addons, "addons", "p", helper.DefaultAddons, "`dir`ectory of protocol scripts (in proto/*.sh)")
	return c
}

// protocols asks the protocol scripts what they are; what is wrong with one is
// an error line.
func (a *app) protocols(ctx context.Context, addons, run string) proto.Registry {
	return helper.Registry(ctx, addons, run, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

// printProblems prints a problem a line, errors in red.
func (a *app) printProblems(problems []config.Problem) {
	on := colours(a.out)
	for _, p := range problems {
		s := yellow
		if p.Severity == config.Error {
			s = red
		}
		line := p.String()
		if p.Pos.File == "" {
			line = p.Reason // about the file as a whole: it cannot be read
		}
		fmt.Fprintln(a.out, s.paint(line, on))
	}
}

func countProblems(problems []config.Problem) (errs, warnings int) {
	for _, p := range problems {
		if p.Severity == config.Error {
			errs++
		} else {
			warnings++
		}
	}
	return errs, warnings
}

// count is "1 error", "2 errors".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (a *app) planCmd() *cobra.Command {
	var dir, run, addons string
	c := &cobra.Command{
		Use:   "plan",
		Short: "Say what a reload would do, operation by operation; nothing is written",
		Long: `Reads the configuration and the kernel and prints, in order, the operations
that netbraid would do to bring them together, one a line; what is done on
dataplanes and by Open vSwitch is not among them. Nothing is written,
and no daemon is needed; what the daemon has written down as its own is taken
from --run-dir. Needs root.
Exit code: 0 nothing to do, 2 something to do (as with diff), 1 an error in the
configuration, or a failure.`,
		Example: `  netbraid plan
  netbraid plan -c /tmp/new
  netbraid plan >/dev/null; [ $? = 2 ] && echo "a reload would change something"`,
		Args: none,
		RunE: func(c *cobra.Command, _ []string) error {
			protos := a.protocols(c.Context(), addons, run)
			cfg, problems, err := daemon.Load(dir, protos)
			if err != nil {
				return err
			}
			errs, _ := countProblems(problems)
			if errs > 0 {
				a.printProblems(problems)
				return exit(exitFailed, "%s in %s/network: a reload would refuse it and change nothing", count(errs, "error"), dir)
			}
			if err := readable(run); err != nil {
				return err
			}
			restore, _, err := daemon.ReadAsked(run, cfg, protos)
			if err != nil {
				return err
			}
			ops, err := dryrun.Plan(c.Context(), dryrun.Options{Config: cfg, RunDir: run, NSFD: -1, Protos: protos, Restore: restore})
			if err != nil {
				return err
			}
			if left := beyondPlan(cfg); left != "" {
				fmt.Fprintln(a.err, left)
			}
			if len(ops) == 0 {
				fmt.Fprintln(a.out, "nothing to do")
				return nil
			}
			for _, op := range ops {
				fmt.Fprintln(a.out, op)
			}
			return silent(exitChanges)
		},
	}
	c.Flags().StringVarP(&dir, "config", "c", daemon.DefaultConfigDir, "configuration `dir`ectory")
	c.Flags().StringVar(&run, "run-dir", daemon.DefaultRunDir, "`dir`ectory where the daemon keeps what is its own")
	c.Flags().StringVarP(&addons, "addons", "p", helper.DefaultAddons, "`dir`ectory of protocol scripts (in proto/*.sh)")
	return c
}

// beyondPlan says what a plan of the kernel's operations does not have; empty
// for nothing.
func beyondPlan(cfg *config.Config) string {
	var what []string
	if n := len(cfg.Pairs); n > 0 {
		what = append(what, count(n, "pair")+" (netbraid pair list)")
	}
	if n := len(cfg.Switches()); n > 0 {
		what = append(what, count(n, "bridge")+" of Open vSwitch (netbraid ovs show)")
	}
	if what == nil {
		return ""
	}
	return "netbraid: not in this plan, which is of the kernel: what is done for " + strings.Join(what, " and ")
}

// readable holds that what the daemon has written down as its own, if
// anything, can be read: without it the plan would be wrong.
func readable(run string) error {
	f, err := os.Open(filepath.Join(run, "state"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read what the daemon has made (plan needs root): %w", err)
	}
	return f.Close()
}
