package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
)

func fetchCommand() *cli.Command {
	return &cli.Command{
		Name: "fetch", Usage: "download everything that a later build --offline needs", ArgsUsage: "RECIPE.toml|NAME...",
		Flags:  flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), engineFlags()),
		Action: fetchRecipes,
	}
}

func fetchRecipes(c *cli.Context) error {
	return withRecipes(c, c.Args().Slice(), func(s *session, requests []builder.Request) error {
		for _, req := range requests {
			stats, err := s.builder.Fetch(c.Context, req)
			s.display.Flush()
			if err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "%s: %d files downloaded (%s), %d were there\n",
				req.Recipe.Name, stats.Blobs, megabytes(stats.Downloaded), stats.Cached)
		}
		return nil
	})
}
