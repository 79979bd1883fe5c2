package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"netbraid/internal/config"
	"netbraid/internal/daemon"
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
			cfg, problems, err := loadConfig(dir, a.protocols(c.Context(), addons, daemon.DefaultRunDir))
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

// loadConfig reads a configuration; where there is none it says what to do.
func loadConfig(dir string, protos proto.Registry) (*config.Config, []config.Problem, error) {
	cfg, problems, err := daemon.Load(dir, protos)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no configuration at %s/network: no such file or directory (-c DIR says where it is)", strings.TrimSuffix(dir, "/"))
	}
	return cfg, problems, err
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
