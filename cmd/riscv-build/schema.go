package main

import (
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/recipes"
)

func schemaCommand() *cli.Command {
	return &cli.Command{
		Name: "schema", Usage: "print the JSON Schema of recipes, for editors",
		Flags: []cli.Flag{&cli.BoolFlag{Name: "reference", Usage: "print the reference of all keys for people instead"}},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			text := recipes.Reference()
			if !c.Bool("reference") {
				var err error
				if text, err = recipes.Schema(); err != nil {
					return err
				}
			}
			_, err := c.App.Writer.Write(text)
			return err
		},
	}
}
