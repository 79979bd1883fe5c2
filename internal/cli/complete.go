package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func (a *app) completionCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a completion script for a shell",
		Long: `Prints a script that makes the shell complete netbraid's commands and options,
and the names of interfaces and devices, which it asks the running daemon for.`,
		Example: `  netbraid completion bash > /etc/bash_completion.d/netbraid
  netbraid completion zsh > /usr/share/zsh/site-functions/_netbraid
  netbraid completion fish > /etc/fish/completions/netbraid.fish`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("which shell? (usage: %s)", c.UseLine())
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return c.Root().GenBashCompletionV2(a.out, true)
			case "zsh":
				return c.Root().GenZshCompletion(a.out)
			case "fish":
				return c.Root().GenFishCompletion(a.out, true)
			}
			return fmt.Errorf("no completion for %q: there is bash, zsh and fish", args[0])
		},
	}
}

// completeTimeout bounds the wait of somebody who has pressed Tab.
const completeTimeout = time.Second

func (a *app) completeInterface(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(c, args, (*client).interfaces)
}

func (a *app) completeDevice(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.complete(c, args, (*client).devices)
}

func (a *app) complete(c *cobra.Command, args []string, list func(*client, context.Context) ([]string, error)) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(c.Context(), completeTimeout)
	defer cancel()
	bus, err := a.dial(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	defer bus.Close()
	names, err := list(bus, ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
