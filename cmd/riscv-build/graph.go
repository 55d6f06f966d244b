package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/graph"
)

func graphCommand() *cli.Command {
	return &cli.Command{
		Name: "graph", Usage: "print the BuildKit graph of a recipe, without building it", ArgsUsage: "RECIPE.toml|NAME",
		Description: "What the graph names is fetched first: its bytes depend on it.",
		Flags: flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), engineFlags(), []cli.Flag{
			&cli.StringFlag{Name: "format", Value: "text", Usage: "print as `FORMAT`: " + strings.Join(graph.Formats, ", ")},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
		}),
		Action: printGraph,
	}
}

func printGraph(c *cli.Context) error {
	if err := checkChoice("format", c.String("format"), graph.Formats); err != nil {
		return err
	}
	if c.NArg() != 1 {
		return usagef("printing the graph of %d recipes: name one", c.NArg())
	}
	return withRecipes(c, c.Args().Slice(), func(s *session, requests []builder.Request) error {
		definition, err := s.builder.Graph(c.Context, requests[0])
		s.display.Flush()
		if err != nil {
			return err
		}
		return graph.Print(c.App.Writer, definition, c.String("format"))
	})
}
