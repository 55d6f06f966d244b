package main

import (
	"cmp"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher/registry"
)

func registryGCCommand() *cli.Command {
	return &cli.Command{
		Name: "gc", Usage: "delete what no image of a served directory needs",
		Description: "It works on the directory of `registry serve` on this machine, which may go on serving meanwhile. Images\n" +
			"without a tag stay, unless --untagged.",
		Flags: flags(stateFlags(), registryRootFlags(), []cli.Flag{
			&cli.DurationFlag{Name: "grace", Value: time.Hour, Usage: "keep what was sent, mounted or asked for less than `TIME` ago"},
			&cli.BoolFlag{Name: "untagged", Usage: "delete images that no tag leads to"},
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be deleted"}, jsonFlag(),
		}),
		Action: registryGC,
	}
}

// collected is what --json prints.
type collected struct {
	Results []registry.Garbage `json:"results"`
	registry.Collected
	DryRun bool `json:"dry_run"`
}

func registryGC(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	if c.Duration("grace") < 0 {
		return usagef("reading --grace %q: it is a time, at least 0", c.Duration("grace"))
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	store, err := registry.OpenExisting(registryRoot(c, p))
	if err != nil {
		return err
	}
	verb := "deleted"
	if c.Bool("dry-run") {
		verb = "would delete"
	}
	doc := collected{Results: []registry.Garbage{}, DryRun: c.Bool("dry-run")}
	doc.Collected, err = store.Collect(c.Context, registry.CollectOptions{
		Grace: c.Duration("grace"), Untagged: c.Bool("untagged"), DryRun: c.Bool("dry-run"),
		Deleted: func(g registry.Garbage) {
			if c.Bool("json") {
				doc.Results = append(doc.Results, g)
				return
			}
			what := cmp.Or(string(g.Digest), "that was broken off")
			if g.Repository != "" {
				what = g.Repository + "@" + what
			}
			fmt.Fprintf(c.App.Writer, "%s %s %s (%d bytes)\n", verb, g.Kind, what, g.Bytes)
		},
	})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, doc)
		return nil
	}
	fmt.Fprintf(c.App.Writer, "%s %d manifests, %d blobs, %d uploads: %s\n", verb, doc.Manifests, doc.Blobs, doc.Uploads, megabytes(doc.Bytes))
	return nil
}
