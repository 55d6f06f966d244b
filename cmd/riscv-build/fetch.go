package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func fetchCommand() *cli.Command {
	return &cli.Command{
		Name: "fetch", Usage: "download everything that a later build --offline needs", ArgsUsage: "RECIPE.toml|NAME...",
		Flags:  flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags()),
		Action: fetchRecipes,
	}
}

func fetchRecipes(c *cli.Context) error {
	rs, err := loadRecipes(c.Args().Slice(), verbNames(c.App))
	if err != nil {
		return err
	}
	requests, err := requestsFor(c, rs)
	if err != nil {
		return err
	}
	return with(c, func(s *session) error {
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
