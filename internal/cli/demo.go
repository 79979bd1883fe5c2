package cli

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"netbraid/internal/cli/demo"
)

func (a *app) demoCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show netbraid at work, in a network of its own",
		Long: `Plays a short story (about 15 seconds) in two network namespaces that nobody
else sees: the daemon brings up a bridge, an alias and a WAN with a default
route, repairs what somebody deletes, says what a change would do, refuses a bad
configuration, and is killed and started again without the loss of a packet.
Needs root, ip (package iproute2) and ping (iputils-ping). Nothing of the machine's
own network is touched, and nothing is left behind.
With DEMO_HOLD=1 in the environment it stays open at the end, to look around.
Exit code: 0 when every step went as it should.`,
		Example: "  netbraid demo\n  DEMO_HOLD=1 netbraid demo",
		Args:    none,
		RunE: func(c *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			hold := os.Getenv("DEMO_HOLD")
			o := demo.Options{Out: a.out, In: a.in, Exe: exe, Colour: colours(a.out), Hold: hold != "" && hold != "0"}
			if colours(a.out) {
				o.Pause = 1500 * time.Millisecond // for the reader
			}
			return demo.Run(ctx, o)
		},
	}
}
