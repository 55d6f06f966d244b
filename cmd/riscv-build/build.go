package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
)

func buildCommand() *cli.Command {
	return &cli.Command{
		Name: "build", Usage: "build, test and push images (what is done without a verb)", ArgsUsage: "RECIPE.toml|NAME...",
		Flags: flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), engineFlags(), containerdFlags(), limitFlags(), cacheFlags(), serverFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "detach", Usage: "with a service: print the numbers of the builds instead of following them"},
			&cli.StringSliceFlag{Name: "push", Usage: "push to the registry `HOST[:PORT][/PREFIX]` (may be repeated)"},
			&cli.StringSliceFlag{Name: "tag", Usage: "push and load under tag `T` instead of those of the recipe (may be repeated)"},
			indexFlag(), loadFlag(), changedFlag(),
			&cli.StringFlag{Name: "output", Usage: "write the image as an OCI layout to `DIR|FILE.tar`"},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
			&cli.BoolFlag{Name: "no-cache", Usage: "build and test anew although nothing changed"},
			jobsFlag(), jsonFlag(),
		}),
		Action: build,
	}
}

func build(c *cli.Context) error {
	used, err := readCaches(c)
	if err != nil {
		return err
	}
	through, err := buildElsewhere(c)
	if err != nil {
		return err
	}
	if through != nil {
		return through.run(c.Args().Slice())
	}
	if c.Bool("detach") {
		return usagef("reading --detach: no service builds this: name one with --server URL, or start one with `riscv-build serve`")
	}
	return withRecipes(c, c.Args().Slice(), func(s *session, requests []builder.Request) error {
		if engine := wantedLoad(c); engine != "" {
			// Now, not after an hour of compiling.
			store, err := s.imageStore(c, engine)
			if err != nil {
				return err
			}
			defer store.Close() //nolint:errcheck // a connection
			for i := range requests {
				requests[i].Load = store
			}
		}
		return s.withCaches(c.Context, used, requests, func() error {
			results, err := buildAll(c.Context, s.buildOne(c.Bool("changed")), requests, func(r *builder.Result) {
				if !c.Bool("json") && r.Error == "" {
					printResult(c.App.Writer, r)
				}
			})
			if c.Bool("json") {
				writeJSON(c.App.Writer, document{Results: results})
			}
			return err
		})
	})
}

// buildFunc builds one image; its result is never nil.
type buildFunc func(context.Context, builder.Request) (*builder.Result, error)

// buildOne builds an image or, if only what has changed is to be built, finds
// out that the registries hold it.
func (s *session) buildOne(changed bool) buildFunc {
	return func(ctx context.Context, req builder.Request) (*builder.Result, error) {
		defer s.display.Flush()
		if changed {
			if r, same, err := s.builder.Unchanged(ctx, req); same || err != nil {
				return r, err
			}
		}
		r, err := s.builder.Build(ctx, req)
		if errors.Is(err, errEngineChanged) {
			r, err = s.builder.Build(ctx, req) // now it is known what it is
		}
		return r, err
	}
}

// buildAll builds one after the other. A recipe that fails does not keep the
// others from being built; a machine that cannot build, or a signal, does.
func buildAll(ctx context.Context, one buildFunc, requests []builder.Request, done func(*builder.Result)) ([]*builder.Result, error) {
	results := []*builder.Result{}
	var failures []error
	for _, req := range requests {
		r, err := one(ctx, req)
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
