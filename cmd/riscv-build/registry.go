package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/pusher"
)

func registryCommand() *cli.Command {
	return &cli.Command{
		Name: "registry", Usage: "serve a registry, look into one and tidy it",
		Subcommands: []*cli.Command{
			registryLsCommand(),
			registryInspectCommand(),
			registryRmCommand(),
			registryServeCommand(),
			registryGCCommand(),
		},
		Action: func(c *cli.Context) error {
			var names []string
			for _, sub := range c.Command.Subcommands {
				names = append(names, sub.Name)
			}
			return usagef("running registry %q: there is no such verb: use one of %s", c.Args().First(), strings.Join(names, ", "))
		},
	}
}

func registryLsCommand() *cli.Command {
	return &cli.Command{
		Name: "ls", Usage: "list repositories and tags with platforms, sizes and ages", ArgsUsage: "[HOST[:PORT][/PREFIX]]",
		Description: "Without an argument, the registry of the configuration is listed. Sizes are those of the transfer.",
		Flags:       flags(stateFlags(), []cli.Flag{jsonFlag()}),
		Action:      registryLs,
	}
}

func registryLs(c *cli.Context) error {
	if c.NArg() > 1 {
		return usagef("listing %d registries: name one", c.NArg())
	}
	p, err := findPlace(c)
	if err != nil {
		return err
	}
	target, err := p.registry(c.Args().First())
	if err != nil {
		return err
	}
	if target == "" {
		return usagef("listing a registry: none is named and none configured: write `registry ls HOST:PORT`, or registry = \"HOST:PORT\" in the configuration")
	}
	all, err := newPusher(p).List(c.Context, target)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: all})
	} else if err := printRepositories(c.App.Writer, all, time.Now()); err != nil {
		return err
	}
	var failures []error
	for _, r := range all {
		if r.Err != nil {
			failures = append(failures, r.Err)
		}
	}
	return errors.Join(failures...)
}

// registry is the registry that is meant: what was written, else what the
// configuration says; "" if neither does.
func (p *place) registry(written string) (string, error) {
	if written == "" {
		written = p.config.PushRegistry()
	}
	if written == "" {
		return "", nil
	}
	if _, _, err := pusher.ParseTarget(written); err != nil {
		return "", usageError{err}
	}
	return written, nil
}

// printRepositories prints a line for every image.
func printRepositories(out io.Writer, all []pusher.Repository, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tPLATFORM\tSIZE\tAGE")
	for _, r := range all {
		if len(r.Tags) == 0 && r.Err == nil {
			fmt.Fprintf(w, "%s\tno tags\t\t\n", r.Name)
		}
		for _, t := range r.Tags {
			for _, i := range t.Images {
				fmt.Fprintf(w, "%s:%s\t%s\t%s\t%s\n", r.Name, t.Name, i.Platform, megabytes(i.Size), age(i.Created, now))
			}
			switch {
			case t.Error != "":
				fmt.Fprintf(w, "%s:%s\tcannot be read\t\t\n", r.Name, t.Name)
			case len(t.Images) == 0:
				fmt.Fprintf(w, "%s:%s\tno image\t\t\n", r.Name, t.Name)
			}
		}
	}
	return w.Flush()
}

// age is how long ago an image was created, in the largest unit; "-" where it
// does not say, or says the epoch, as images that are built reproducibly do.
func age(created *time.Time, now time.Time) string {
	if created == nil || created.Unix() <= 0 {
		return "-"
	}
	d := now.Sub(*created)
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"year", 365 * 24 * time.Hour}, {"month", 30 * 24 * time.Hour}, {"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}} {
		if n := int(d / unit.length); n == 1 {
			return "1 " + unit.name
		} else if n > 1 {
			return fmt.Sprintf("%d %ss", n, unit.name)
		}
	}
	return "now"
}
