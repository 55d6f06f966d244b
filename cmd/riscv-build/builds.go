package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/service"
)

// buildsVerb may be left out before its own verbs.
const buildsVerb = "builds"

func buildsCommand() *cli.Command {
	common := func(more ...cli.Flag) []cli.Flag { return flags(stateFlags(), serverFlags(), more) }
	return &cli.Command{
		Name: buildsVerb, Usage: "list, follow, cancel and repeat the builds of a service (\"" + buildsVerb + "\" may be left out)",
		Description: "Without --server it is the service of this machine that is asked, through its state directory.",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list builds, the newest first",
				Flags: common(jsonFlag(),
					&cli.StringSliceFlag{Name: "status", Usage: "only those that are `STATUS` (may be repeated): " + strings.Join(statusNames(), ", ")},
					&cli.StringFlag{Name: "recipe", Usage: "only those of the recipe `NAME`"},
					&cli.IntFlag{Name: "limit", Value: 50, Usage: "at most `N`, 500 at most"}),
				Action: listBuilds,
			},
			{Name: "show", Usage: "show a build", ArgsUsage: "ID", Flags: common(jsonFlag()), Action: showBuild},
			{
				Name: "logs", Usage: "print the log of a build", ArgsUsage: "ID", Action: printLog,
				Flags: common(flags(progressFlags(), []cli.Flag{&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "show the build until it ends, as `build` does, and end as it does"}})...),
			},
			{Name: "cancel", Usage: "end builds, or take them out of the queue", ArgsUsage: "ID...", Flags: common(jsonFlag()), Action: cancelBuilds},
			{Name: "retry", Usage: "build again what failed or was cancelled", ArgsUsage: "ID...", Flags: common(jsonFlag()), Action: retryBuilds},
		},
		Action: func(c *cli.Context) error {
			return usagef("running builds %q: there is no such verb: use one of ls, show, logs, cancel, retry", c.Args().First())
		},
	}
}

func statusNames() []string {
	var names []string
	for _, s := range service.Statuses {
		names = append(names, string(s))
	}
	return names
}

// buildNumbers are the arguments of a verb.
func buildNumbers(c *cli.Context) ([]int64, error) {
	var ids []int64
	for _, arg := range c.Args().Slice() {
		id, err := strconv.ParseInt(strings.TrimPrefix(arg, "#"), 10, 64)
		if err != nil || id < 1 {
			return nil, usagef("reading build %q: it is no number: `riscv-build builds ls` lists them", arg)
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, usagef("running builds %s: name a build by its number: `riscv-build builds ls` lists them", c.Command.Name)
	}
	return ids, nil
}

// buildNumber is the only argument of a verb.
func buildNumber(c *cli.Context) (int64, error) {
	ids, err := buildNumbers(c)
	if err == nil && len(ids) != 1 {
		err = usagef("running builds %s with %d builds: name one", c.Command.Name, len(ids))
	}
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

func listBuilds(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	f := service.Filter{Recipe: c.String("recipe"), Limit: c.Int("limit")}
	for _, s := range c.StringSlice("status") {
		if err := checkChoice("status", s, statusNames()); err != nil {
			return err
		}
		f.Status = append(f.Status, service.Status(s))
	}
	from, _, err := someService(c)
	if err != nil {
		return err
	}
	all, err := from.Builds(c.Context, f)
	if err != nil {
		return fromService(err)
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: all})
		return nil
	}
	return printBuilds(c.App.Writer, all, time.Now())
}

func printBuilds(out io.Writer, all []service.Build, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BUILD\tRECIPE\tSTATUS\tSTAGE\tTOOK\tAGE\tBY")
	for _, b := range all {
		fmt.Fprintf(w, "%d\t%s:%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, b.Recipe, b.Version, b.Status, orDash(b.Stage), took(b, now), age(&b.Created, now), b.Client)
	}
	return w.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// took is how long a build has run.
func took(b service.Build, now time.Time) string {
	if b.Started == nil {
		return "-"
	}
	if b.Ended != nil {
		now = *b.Ended
	}
	return now.Sub(*b.Started).Round(time.Second).String()
}

func showBuild(c *cli.Context) error {
	id, err := buildNumber(c)
	if err != nil {
		return err
	}
	from, _, err := someService(c)
	if err != nil {
		return err
	}
	b, err := from.Build(c.Context, id)
	if err != nil {
		return fromService(err)
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, b)
		return nil
	}
	if err := printBuilds(c.App.Writer, []service.Build{b}, time.Now()); err != nil {
		return err
	}
	if b.Error != "" {
		fmt.Fprintln(c.App.Writer, b.Error)
	} else if b.Result != nil {
		printResult(c.App.Writer, b.Result)
	}
	return nil
}

func printLog(c *cli.Context) error {
	id, err := buildNumber(c)
	if err != nil {
		return err
	}
	from, p, err := someService(c)
	if err != nil {
		return err
	}
	if c.Bool("follow") {
		b, err := from.Build(c.Context, id)
		if err != nil {
			return fromService(err)
		}
		_, err = (&distantBuild{Client: from, c: c, place: p}).follow(b)
		return err
	}
	r, err := from.Artefact(c.Context, id, service.LogArtefact)
	if err != nil {
		return fromService(err)
	}
	_, err = io.Copy(c.App.Writer, r)
	return errors.Join(err, r.Close())
}

func cancelBuilds(c *cli.Context) error {
	from, _, err := someService(c)
	if err != nil {
		return err
	}
	return eachBuild(c, func(id int64) (service.Build, error) { return from.Cancel(c.Context, id) })
}

func retryBuilds(c *cli.Context) error {
	from, _, err := someService(c)
	if err != nil {
		return err
	}
	return eachBuild(c, func(id int64) (service.Build, error) { return from.Retry(c.Context, id) })
}

// eachBuild does something with every build that is named.
func eachBuild(c *cli.Context, do func(int64) (service.Build, error)) error {
	ids, err := buildNumbers(c)
	if err != nil {
		return err
	}
	all := []service.Build{}
	var failures []error
	for _, id := range ids {
		b, err := do(id)
		if err != nil {
			failures = append(failures, fromService(err))
			continue
		}
		all = append(all, b)
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, document{Results: all})
	} else {
		failures = append(failures, printBuilds(c.App.Writer, all, time.Now()))
	}
	return errors.Join(failures...)
}
