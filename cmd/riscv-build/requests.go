package main

import (
	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
)

// withRecipes loads the recipes that args name and runs f in a session with
// their requests.
func withRecipes(c *cli.Context, args []string, f func(*session, []builder.Request) error) error {
	rs, err := loadRecipes(args, verbNames(c.App))
	if err != nil {
		return err
	}
	requests, err := requestsFor(c, rs)
	if err != nil {
		return err
	}
	return with(c, func(s *session) error { return f(s, requests) })
}

// namedOrHere are the arguments or, without any, the recipes of this directory.
func namedOrHere(c *cli.Context) ([]string, error) {
	if c.Args().Present() {
		return c.Args().Slice(), nil
	}
	return recipesHere()
}

// requestsFor makes the requests of one run from its flags.
func requestsFor(c *cli.Context, rs []*recipes.Recipe) ([]builder.Request, error) {
	if c.IsSet("mode") {
		if err := checkChoice("mode", c.String("mode"), modes); err != nil {
			return nil, err
		}
	}
	if c.String("output") != "" && len(rs) > 1 {
		return nil, usagef("writing %d images to --output %q: it takes one: build the recipes one by one", len(rs), c.String("output"))
	}
	if err := checkLoad(c); err != nil {
		return nil, err
	}
	if err := checkTargets(c); err != nil {
		return nil, err
	}
	var requests []builder.Request
	for _, r := range rs {
		requests = append(requests, builder.Request{
			Recipe: r, LockPath: lockPath(r), Locked: c.Bool("locked"), Mode: c.String("mode"),
			Offline: c.Bool("offline"), NoCache: c.Bool("no-cache"),
			Push: c.StringSlice("push"), Index: c.Bool("index"), Tags: c.StringSlice("tag"), Output: c.String("output"),
		})
	}
	return requests, nil
}

// checkTargets refuses flags about registries where none is named.
func checkTargets(c *cli.Context) error {
	switch {
	case len(c.StringSlice("push")) > 0:
		return nil
	case len(c.StringSlice("tag")) > 0 && wantedLoad(c) == "":
		return usagef("reading --tag: tags are for a registry or an engine of this machine: name it with --push or --load")
	case c.Bool("index"):
		return usagef("reading --index: an index is at a registry: name it with --push")
	case c.Bool("changed"):
		return usagef("reading --changed: what has changed is found out at a registry: name it with --push")
	}
	return nil
}

// verbNames are the names that an argument may have been meant as.
func verbNames(app *cli.App) []string {
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	return names
}
