package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

func engineCommand() *cli.Command {
	return &cli.Command{
		Name: "engine", Usage: "bring an engine to a machine, and into a container",
		Subcommands: []*cli.Command{
			engineUpCommand(), engineDownCommand(), engineImageCommand(), enginePrepareCommand(),
		},
		Action: func(c *cli.Context) error {
			var names []string
			for _, sub := range c.Command.Subcommands {
				names = append(names, sub.Name)
			}
			return usagef("running engine %q: there is no such verb: use one of %s", c.Args().First(), strings.Join(names, ", "))
		},
	}
}
