package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/recipes"
)

func outdatedCommand() *cli.Command {
	return &cli.Command{
		Name: "outdated", Usage: "say which locked packages and sources have newer versions", ArgsUsage: "[RECIPE.toml|DIR|NAME...]",
		Description: "Without an argument, the recipes of the current directory are looked at, or the catalogue if it has none.\n" +
			"Security updates come first. Nothing is changed: the last lines say what to run or to write.\n" +
			"What could not be asked is named; the exit status is 4 if nothing could be. With --exit-code it is 1 if\n" +
			"anything is outdated, and 4 if nothing is as far as could be asked, which was not everything.",
		Flags: flags(stateFlags(), archiveFlags(), progressFlags(), []cli.Flag{
			jsonFlag(),
			&cli.BoolFlag{Name: "exit-code", Usage: "exit with 1 if anything is outdated"},
			&cli.BoolFlag{Name: "allow-expired", Usage: "ask an archive past its Valid-Until too"},
		}),
		Action: findOutdated,
	}
}

func findOutdated(c *cli.Context) error {
	args, err := outdatedArguments(c)
	if err != nil {
		return err
	}
	return withRecipes(c, args, func(s *session, requests []builder.Request) error {
		for i := range requests {
			requests[i].AllowExpired = c.Bool("allow-expired")
		}
		report, err := s.builder.Outdated(c.Context, requests)
		if err != nil {
			return err
		}
		if err := c.Context.Err(); err != nil {
			return err
		}
		s.display.Flush()
		if c.Bool("json") {
			writeJSON(c.App.Writer, report)
		} else if err := printOutdated(c.App.Writer, report, requests); err != nil {
			return err
		}
		tellUnknown(c.App.ErrWriter, report)
		return outdatedStatus(report, c.Bool("exit-code"))
	})
}

// outdatedArguments are the recipes that are named, those of directories that
// are, or those that are here, else the whole catalogue.
func outdatedArguments(c *cli.Context) ([]string, error) {
	if !c.Args().Present() {
		files, err := recipesIn(".")
		if err == nil && len(files) == 0 {
			fmt.Fprintln(c.App.ErrWriter, "this directory has no recipe: looking at the catalogue")
			return recipes.Catalog(), nil
		}
		return files, err
	}
	var all []string
	for _, arg := range c.Args().Slice() {
		info, err := os.Stat(arg)
		if err != nil || !info.IsDir() {
			all = append(all, arg)
			continue
		}
		files, err := recipesIn(arg)
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, usagef("looking for recipes: directory %q has no .toml file: name a directory of recipes", arg)
		}
		all = append(all, files...)
	}
	return all, nil
}

// recipesIn are the TOML files of a directory, sorted.
func recipesIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing recipes: %w: name another directory", err)
	}
	var files []string
	for _, e := range entries {
		if filepath.Ext(e.Name()) == ".toml" && !e.IsDir() {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files, nil
}

// outdatedStatus makes the exit status of a report.
func outdatedStatus(r *outdated.Report, check bool) error {
	var causes []error
	for _, p := range r.Errors {
		causes = append(causes, p.Err)
	}
	unknown := len(causes) > 0
	switch {
	case r.Blind():
		return networkError{fmt.Errorf("looking for newer versions: nothing could be asked: %w", errors.Join(causes...))}
	case check && r.Any():
		return fmt.Errorf("looking for newer versions: %d packages and %d sources are outdated: see above for what to do", len(r.Packages), len(r.Sources))
	case check && unknown:
		return networkError{fmt.Errorf("looking for newer versions: nothing is outdated, but %d of %d questions have no answer: see above", len(r.Errors), r.Asked)}
	}
	return nil
}

// printOutdated prints tables, and what to do.
func printOutdated(out io.Writer, r *outdated.Report, requests []builder.Request) error {
	if !r.Any() {
		fmt.Fprintf(out, "nothing is outdated in %s\n", count(len(r.Recipes), "recipe"))
		return nil
	}
	if err := printPackages(out, r); err != nil {
		return err
	}
	if err := printSources(out, r); err != nil {
		return err
	}
	for _, s := range r.Sources {
		if s.Change != "" {
			file := s.File
			if name, ok := strings.CutPrefix(file, "catalog:"); ok {
				file = name + " of `riscv-build catalog export DIR`"
			}
			fmt.Fprintf(out, "\nwrite into %s, for source %q:\n%s", file, s.Subject.Source, indent(s.Change))
			if s.Kind == "url" { // the sums of others come from their index, their repository or the lock
				fmt.Fprintln(out, "    and the sha256 of the new file")
			}
		}
	}
	if command := updateCommand(r, requests); command != "" {
		fmt.Fprintf(out, "\nto take the packages:\n    %s\n", command)
	}
	return nil
}

func printPackages(out io.Writer, r *outdated.Report) error {
	if len(r.Packages) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PACKAGE\tLOCKED\tAVAILABLE\tSUITE\tSECURITY\tUSED IN\tRECIPES")
	for _, p := range r.Packages {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Locked, p.Available, p.Suite, yesOrDash(p.Security), strings.Join(p.Uses, ","), recipesShort(p.Recipes, r.Recipes))
	}
	return w.Flush()
}

func printSources(out io.Writer, r *outdated.Report) error {
	if len(r.Sources) == 0 {
		return nil
	}
	if len(r.Packages) > 0 {
		fmt.Fprintln(out)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SOURCE\tIN USE\tAVAILABLE\tFROM\tSECURITY\tRECIPE")
	for _, s := range r.Sources {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Subject.Source, s.Locked, s.Available, s.From, yesOrDash(s.Security), s.Recipe)
	}
	return w.Flush()
}

func yesOrDash(yes bool) string {
	if yes {
		return "yes"
	}
	return "-"
}

// recipesShort lists recipes; all of several that were looked at are called so.
func recipesShort(some, all []string) string {
	if len(some) == len(all) && len(all) > 3 {
		return fmt.Sprintf("all %d", len(all))
	}
	return strings.Join(some, ", ")
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}

// updateCommand takes the packages of all recipes that have newer ones.
func updateCommand(r *outdated.Report, requests []builder.Request) string {
	affected := map[string]bool{}
	for _, p := range r.Packages {
		for _, name := range p.Recipes {
			affected[name] = true
		}
	}
	if len(affected) == 0 {
		return ""
	}
	words := []string{"riscv-build", "lock", "--update"}
	for _, req := range requests {
		if affected[req.Recipe.Name] {
			words = append(words, argumentFor(req.Recipe))
		}
	}
	return strings.Join(words, " ")
}

// argumentFor is how a recipe is named on the command line.
func argumentFor(r *recipes.Recipe) string {
	if r.Root == "" {
		return r.Name
	}
	if strings.ContainsAny(r.File, " \t'\"\\$`*?[(&;|<>") {
		return "'" + strings.ReplaceAll(r.File, "'", `'\''`) + "'"
	}
	return r.File
}

// tellUnknown says what the report cannot know.
func tellUnknown(out io.Writer, r *outdated.Report) {
	if len(r.Unlocked) > 0 {
		fmt.Fprintf(out, "without a lock, so that no package of them can be outdated: %s: run `riscv-build lock`\n", strings.Join(r.Unlocked, ", "))
	}
	for _, s := range r.Unchecked {
		fmt.Fprintf(out, "%s: newer releases of source %q are not looked for: say where with [source.%s.latest]\n", s.File, s.Source, s.Source)
	}
	told := map[string]bool{}
	for _, p := range r.Errors {
		what := "packages"
		if p.Source != "" {
			what = fmt.Sprintf("source %q", p.Source)
		}
		if told[p.Error] {
			fmt.Fprintf(out, "%s: %s: unknown, as above\n", p.Recipe, what)
			continue
		}
		told[p.Error] = true
		fmt.Fprintf(out, "%s: %s: unknown: %s\n", p.Recipe, what, p.Error)
	}
}
