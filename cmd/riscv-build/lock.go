package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
)

func lockCommand() *cli.Command {
	return &cli.Command{
		Name: "lock", Usage: "resolve packages and write the lock", ArgsUsage: "RECIPE.toml|NAME...",
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "update", Usage: "resolve again although the lock is good"},
			&cli.BoolFlag{Name: "allow-expired", Usage: "accept an archive past its Valid-Until; the lock and every report say so"},
		}),
		Action: lockRecipes,
	}
}

func lockRecipes(c *cli.Context) error {
	args, err := namedOrHere(c)
	if err != nil {
		return err
	}
	return withRecipes(c, args, func(s *session, requests []builder.Request) error {
		var failures []error
		for _, req := range requests {
			req.Update, req.AllowExpired = c.Bool("update"), c.Bool("allow-expired")
			if err := s.builder.Lock(c.Context, req); err != nil {
				failures = append(failures, err)
				continue
			}
			fmt.Fprintf(c.App.Writer, "%s locked\n", req.Recipe.Name)
		}
		return errors.Join(failures...)
	})
}
