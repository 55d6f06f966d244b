package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/batch"
)

func batchCommand() *cli.Command {
	return &cli.Command{
		Name: "batch", Usage: "build many recipes: those of directories, or the whole catalogue", ArgsUsage: "DIR|RECIPE.toml|NAME|" + wholeCatalog + "...",
		Description: "A directory stands for the *.toml files in it, \"" + wholeCatalog + "\" for every recipe of the catalogue (./" + wholeCatalog + " for a directory of that name);\n" +
			"without an argument it is the recipes of this directory. What recipes share is fetched and made once. A recipe that stands on\n" +
			"the image of another (image.base = \"recipe:NAME\") is built after it. Ctrl-C ends a batch, and --resume goes on with it.",
		Flags: flags(stateFlags(), recipeFlags(), archiveFlags(), progressFlags(), engineFlags(), containerdFlags(), limitFlags(), cacheFlags(), serverFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "push", Usage: "push to the registry `HOST[:PORT][/PREFIX]` (may be repeated)"},
			&cli.StringSliceFlag{Name: "tag", Usage: "push under tag `T` instead of those of the recipes (may be repeated)"},
			indexFlag(),
			&cli.IntFlag{Name: "jobs", Usage: "work on `N` recipes at a time (0: by processors and memory)"},
			&cli.IntFlag{Name: "make-jobs", Usage: "run `N` compilers at a time in each recipe (0: by processors, memory and recipes)"},
			&cli.BoolFlag{Name: "keep-going", Aliases: []string{"k"}, Usage: "after a recipe has failed, build all that does not stand on it"},
			&cli.BoolFlag{Name: "changed", Usage: "leave out recipes whose image the registry of --push has already with the same inputs"},
			&cli.StringSliceFlag{Name: "only", Usage: "leave out recipes whose names do not match the pattern `GLOB` (may be repeated)"},
			&cli.StringSliceFlag{Name: "report", Usage: "write what became of each recipe to `FILE.json|xml|md`: JSON, JUnit XML or Markdown (may be repeated)"},
			&cli.BoolFlag{Name: "resume", Usage: "leave out what the last batch of the state directory had finished, where its inputs and registries are the same"},
			&cli.BoolFlag{Name: "plan", Usage: "show what would be built, in which order and why, and build nothing"},
			&cli.BoolFlag{Name: "offline", Usage: "download nothing"},
			&cli.BoolFlag{Name: "no-cache", Usage: "build and test anew although nothing changed"},
			jsonFlag(),
		}),
		Action: batchRecipes,
	}
}

func batchRecipes(c *cli.Context) error {
	used, err := readCaches(c)
	if err != nil {
		return err
	}
	if c.Int("make-jobs") < 0 {
		return usagef("reading --make-jobs %d: give a number of at least 1, or 0 to choose by processors, memory and recipes", c.Int("make-jobs"))
	}
	if c.Bool("changed") && len(c.StringSlice("push")) == 0 {
		return usagef("reading --changed: it asks the registry that images go to: name it with --push")
	}
	for _, path := range c.StringSlice("report") {
		if err := checkReport(path); err != nil {
			return err
		}
	}
	items, err := batchItems(c)
	if err != nil {
		return err
	}
	through, err := buildElsewhere(c)
	if err != nil {
		return err
	}
	if through != nil {
		return through.batch(items)
	}
	return batchHere(c, items, used)
}

// batchHere works through a batch in this process.
func batchHere(c *cli.Context, items []batch.Item, used caches) error {
	var (
		b     *batch.Batch
		meter = &batch.Meter{}
		show  *batch.Screen
	)
	change := func(s *session, cfg *builder.Config) error {
		var err error
		if b, err = batch.New(items, c.Int("jobs"), s.stateDir); err != nil {
			return err
		}
		show = batch.NewScreen(s.display, s.stateDir)
		cfg.Display, cfg.Engine, cfg.Jobs, cfg.Sharing = show, meter.Provider(cfg.Engine), c.Int("make-jobs"), b.Sharing
		return nil
	}
	return withChanged(c, change, func(s *session) error {
		opt := batch.Options{
			StateDir: s.stateDir, Version: programVersion(), Work: steadyBuilder{s.builder}, ExitCode: exitCode, Meter: meter,
			EngineStarts: s.engine.starts, KeepGoing: c.Bool("keep-going"), Resume: c.Bool("resume"),
		}
		if c.Bool("changed") {
			opt.Changes = s.builder
		}
		if c.Bool("plan") {
			return showPlan(c, b, opt)
		}
		opt.Screen = show
		var requests []builder.Request
		for _, i := range items {
			if i.Err == nil {
				requests = append(requests, i.Request)
			}
		}
		return s.withCaches(c.Context, used, requests, func() error {
			report, err := b.Run(c.Context, opt)
			return errors.Join(err, giveReport(c, report))
		})
	})
}

// steadyBuilder builds again where an engine turned out to be another than the
// one remembered: now it is known what it is.
type steadyBuilder struct{ *builder.Builder }

// Build makes the image of one recipe.
func (b steadyBuilder) Build(ctx context.Context, req builder.Request) (*builder.Result, error) {
	r, err := b.Builder.Build(ctx, req)
	if errors.Is(err, errEngineChanged) {
		return b.Builder.Build(ctx, req)
	}
	return r, err
}

// checkReport refuses a report that cannot be written, before the batch.
func checkReport(path string) error {
	if !slices.Contains(batch.Endings(), filepath.Ext(path)) {
		return usagef("reading --report %q: what is to be written? Let the name end in .json, .xml (JUnit) or .md (Markdown)", path)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || !fi.IsDir() {
		return usagef("reading --report %q: there is no directory %q: make it first", path, filepath.Dir(path))
	}
	return nil
}
