package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/cmd/riscv-build/config"
)

func cacheCommand() *cli.Command {
	return &cli.Command{
		Name: "cache", Usage: "show or shrink what the state directory holds",
		Subcommands: []*cli.Command{
			{Name: "du", Usage: "show what takes how much space", Flags: flags(stateFlags(), containerdFlags()), Action: cacheUsage},
			{
				Name: "prune", Usage: "delete what can be fetched or built again",
				Flags: flags(stateFlags(), containerdFlags(), []cli.Flag{
					&cli.StringFlag{Name: "keep", Usage: "keep what was used last, up to `SIZE` of downloads and images and as much of the build cache"},
					&cli.DurationFlag{Name: "older-than", Usage: "delete only downloads and images that were not used for `TIME`, such as 720h"},
				}),
				Action: cachePrune,
			},
		},
		Action: func(c *cli.Context) error {
			return usagef("running cache %q: there is no such verb: use `cache du` or `cache prune`", c.Args().First())
		},
	}
}

func cacheUsage(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	return with(c, func(s *session) error {
		groups, err := s.builder.Store().DU(c.Context, nil)
		if err != nil {
			return err
		}
		for _, g := range groups {
			name := g.Group
			if name == "other" {
				name = "downloads and images"
			}
			fmt.Fprintf(c.App.Writer, "%-22s %12s  %6d blobs  used %s\n", name, megabytes(g.Bytes), g.Blobs, g.LastUsed.Format(time.DateOnly))
		}
		return s.eachCache(c, func(cache engine.Cache) error {
			usage, err := cache.DiskUsage(c.Context)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "%-22s %12s  %6d records\n", "build cache", megabytes(usage.Total), len(usage.Records))
			return nil
		})
	})
}

func cachePrune(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	keep, err := config.Size(c.String("keep"))
	if err != nil {
		return usageError{err}
	}
	if c.Duration("older-than") < 0 {
		return usagef("reading --older-than %s: give a time of at least 0, such as 720h", c.Duration("older-than"))
	}
	return with(c, func(s *session) error {
		pruned, err := s.builder.Store().Prune(c.Context, fetch.PruneOptions{Limit: keep, OlderThan: c.Duration("older-than")})
		if err != nil {
			return err
		}
		fmt.Fprintf(c.App.Writer, "%d blobs deleted, %s\n", pruned.Blobs, megabytes(pruned.Bytes))
		if c.IsSet("older-than") && !c.IsSet("keep") {
			return nil // the build cache counts by size only
		}
		return s.eachCache(c, func(cache engine.Cache) error {
			freed, err := cache.Prune(c.Context, keep)
			if err == nil {
				fmt.Fprintf(c.App.Writer, "build cache shrunk by %s\n", megabytes(freed))
			}
			return err
		})
	})
}
