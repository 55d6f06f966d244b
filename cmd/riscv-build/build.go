package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "build, test and push images (what is done without a verb)", ArgsUsage: "RECIPE.toml|NAME...",
		Flags: flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "push", Usage: "push to the registry `HOST[:PORT][/PREFIX]` (may be repeated)"},
			&cli.StringSliceFlag{Name: "tag", Usage: "push under tag `T` instead of those of the recipe (may be repeated)"},
			&cli.StringFlag{Name: "output", Usage: "write the image as an OCI layout to `DIR|FILE.tar`"},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
			&cli.BoolFlag{Name: "no-cache", Usage: "build and test anew although nothing changed"},
			jobsFlag(), jsonFlag(),
		}),
		Action: build,
	}
}

func jobsFlag() cli.Flag {
	return &cli.IntFlag{Name: "jobs", Usage: "run `N` compilers at a time (0: by processors and memory)"}
}

// flags joins groups of flags.
func flags(groups ...[]cli.Flag) []cli.Flag {
	var all []cli.Flag
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

func build(c *cli.Context) error {
	rs, err := loadRecipes(c.Args().Slice(), verbNames(c.App))
	if err != nil {
		return err
	}
	requests, err := requestsFor(c, rs)
	if err != nil {
		return err
	}
	return with(c, func(s *session) error {
		results, err := buildAll(c.Context, s, requests, func(r *builder.Result) {
			if !c.Bool("json") && r.Error == "" {
				printResult(c.App.Writer, r)
			}
		})
		if c.Bool("json") {
			writeJSON(c.App.Writer, document{Results: results})
		}
		return err
	})
}

// buildAll builds one after the other. A recipe that fails does not keep the
// others from being built; a machine that cannot build, or a signal, does.
func buildAll(ctx context.Context, s *session, requests []builder.Request, done func(*builder.Result)) ([]*builder.Result, error) {
	results := []*builder.Result{}
	var failures []error
	for _, req := range requests {
		r, err := s.builder.Build(ctx, req)
		s.display.Flush()
		results = append(results, r)
		done(r)
		if err == nil {
			continue
		}
		failures = append(failures, err)
		if ctx.Err() != nil || exitCode(ctx, err) == exitEnvironment {
			break
		}
	}
	return results, errors.Join(failures...)
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
	if len(c.StringSlice("tag")) > 0 && len(c.StringSlice("push")) == 0 {
		return nil, usagef("reading --tag: tags are for a registry: name it with --push")
	}
	var requests []builder.Request
	for _, r := range rs {
		requests = append(requests, builder.Request{
			Recipe: r, LockPath: lockPath(r), Locked: c.Bool("locked"), Mode: c.String("mode"),
			Offline: c.Bool("offline"), NoCache: c.Bool("no-cache"),
			Push: c.StringSlice("push"), Tags: c.StringSlice("tag"), Output: c.String("output"),
		})
	}
	return requests, nil
}

// verbNames are the names that an argument may have been meant as.
func verbNames(app *cli.App) []string {
	var names []string
	for _, c := range app.Commands {
		names = append(names, c.Name)
	}
	return names
}
