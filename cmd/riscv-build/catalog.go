package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
)

func catalogCommand() *cli.Command {
	return &cli.Command{
		Name: "catalog", Usage: "list, show and export the recipes that are built in",
		Subcommands: []*cli.Command{
			{
				Name: "ls", Usage: "list the recipes", Flags: flags(stateFlags(), []cli.Flag{jsonFlag()}), Action: listCatalog,
			},
			{
				Name: "show", Usage: "print what a recipe is and how its image stands to the official one", ArgsUsage: "NAME",
				Flags: flags(stateFlags(), []cli.Flag{jsonFlag(), &cli.BoolFlag{Name: "toml", Usage: "print the recipe file instead"}}), Action: showCatalog,
			},
			{
				Name: "export", Usage: "write the recipes, their files and their lock into a directory, to change them", ArgsUsage: "DIR [NAME...]",
				Description: "Without a NAME it is the whole catalogue. A recipe brings the recipes that it is built on.\n" +
					"`riscv-build batch DIR` builds them. The lock holds what the catalogue's does for them.",
				Flags:  []cli.Flag{&cli.BoolFlag{Name: "force", Usage: "overwrite files that differ"}},
				Action: exportCatalog,
			},
		},
		Action: func(c *cli.Context) error {
			return usagef("running catalog %q: there is no such verb: use `catalog ls`, `catalog show NAME` or `catalog export DIR`", c.Args().First())
		},
	}
}

// catalogEntry is a recipe as ls and show print it.
type catalogEntry struct {
	Name        string   `json:"name"`
	Version     string   `json:"version"`
	Summary     string   `json:"summary"`
	License     string   `json:"license"`
	Home        string   `json:"home"`
	StandsInFor []string `json:"stands_in_for"`
	Difference  string   `json:"difference"`
	BuiltFrom   string   `json:"built_from"`
	Base        string   `json:"base"`
	Repository  string   `json:"repository"`
	Tags        []string `json:"tags"`
	Tests       int      `json:"tests"`
	Size        int64    `json:"size,omitempty"` // compressed bytes; only if it was built here
	Doc         string   `json:"doc,omitempty"`  // of show
}

// catalogEntries reads recipes of the catalogue with their sizes.
func catalogEntries(c *cli.Context, names []string) ([]catalogEntry, []*recipes.Entry, error) {
	p, err := findPlace(c)
	if err != nil {
		return nil, nil, err
	}
	sizes := builder.FinishedSizes(p.stateDir)
	var list []catalogEntry
	var all []*recipes.Entry
	for _, name := range names {
		e, err := recipes.LoadEntry(name)
		if err != nil {
			return nil, nil, usageError{err}
		}
		all = append(all, e)
		list = append(list, catalogEntry{
			Name: name, Version: e.Version, Summary: e.Summary, License: e.License, Home: e.Home,
			StandsInFor: e.StandsInFor, Difference: e.Difference, BuiltFrom: e.Origin(), Base: e.Image.Base,
			Repository: e.Push.Repository, Tags: e.Push.Tags, Tests: len(e.Tests), Size: sizes[name+" "+e.Version],
		})
	}
	return list, all, nil
}

func listCatalog(c *cli.Context) error {
	if err := noArguments(c); err != nil {
		return err
	}
	list, _, err := catalogEntries(c, recipes.Catalog())
	if err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, list)
		return nil
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tVERSION\tSTANDS IN FOR\tBUILT FROM\tSIZE\tSUMMARY")
	for _, e := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Version, strings.Join(e.StandsInFor, ", "), e.BuiltFrom, e.size(), e.Summary)
	}
	return w.Flush()
}

func (e catalogEntry) size() string {
	if e.Size == 0 {
		return "-"
	}
	return megabytes(e.Size)
}

func showCatalog(c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("showing %d recipes: name one of %s", c.NArg(), strings.Join(recipes.Catalog(), ", "))
	}
	name := c.Args().First()
	if c.Bool("toml") {
		return printRecipe(c, name)
	}
	list, all, err := catalogEntries(c, []string{name})
	if err != nil {
		return err
	}
	e := list[0]
	if c.Bool("json") {
		e.Doc = all[0].Doc
		writeJSON(c.App.Writer, e)
		return nil
	}
	w := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"recipe", e.Name + " " + e.Version}, {"summary", e.Summary}, {"license", e.License}, {"home", e.Home},
		{"built from", e.BuiltFrom}, {"base", e.Base}, {"size", e.size()},
		{"pushed as", e.Repository + ":" + strings.Join(e.Tags, ", :")}, {"tests", fmt.Sprint(e.Tests)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, doc, _ := strings.Cut(all[0].Doc, "\n")
	_, err = fmt.Fprint(c.App.Writer, doc)
	return err
}

func printRecipe(c *cli.Context, name string) error {
	files, all, err := recipes.CatalogFiles(name)
	if err != nil {
		return usageError{err}
	}
	_, err = c.App.Writer.Write(files[all[0].Name+".toml"])
	return err
}
