package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/batch"
)

// giveReport prints the report, writes the files that were asked for, and tells GitHub.
func giveReport(c *cli.Context, r *batch.Report) error {
	if c.Bool("json") {
		writeJSON(c.App.Writer, r)
	} else {
		printBatch(c.App.Writer, r)
	}
	tellGitHub(c, r)
	var failed []error
	for _, path := range c.StringSlice("report") {
		if err := writeReport(path, r); err != nil {
			failed = append(failed, environmentError{fmt.Errorf("writing the report %q: %w: choose another file with --report", path, err)})
		}
	}
	return errors.Join(failed...)
}

// writeReport replaces a report whole: a reader never sees half of one.
func writeReport(path string, r *batch.Report) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".report-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = errors.Join(r.Write(f, path), f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// tellGitHub writes annotations and the summary of the step where the program
// runs in a GitHub Actions workflow. That it cannot is no error of the batch.
func tellGitHub(c *cli.Context, r *batch.Report) {
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		return
	}
	err := r.WriteAnnotations(c.App.ErrWriter, inWorkspace)
	if summary := os.Getenv("GITHUB_STEP_SUMMARY"); summary != "" {
		f, openErr := os.OpenFile(summary, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if openErr != nil {
			err = errors.Join(err, openErr)
		} else {
			err = errors.Join(err, r.Write(f, "summary.md"), f.Close())
		}
	}
	if err != nil {
		fmt.Fprintf(c.App.ErrWriter, "telling GitHub about the batch: %v\n", err)
	}
}

// inWorkspace is the path of a recipe's file in the repository that the
// workflow works on, "" if it is not in there.
func inWorkspace(file string) string {
	top, err := filepath.Abs(cmp.Or(os.Getenv("GITHUB_WORKSPACE"), "."))
	if err != nil || strings.HasPrefix(file, "catalog:") {
		return ""
	}
	abs, err := filepath.Abs(file)
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(top, abs)
	if err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// printBatch is the report for people.
func printBatch(w io.Writer, r *batch.Report) {
	for _, e := range r.Recipes {
		name := e.Name
		if e.Version != "" {
			name += ":" + e.Version
		}
		switch {
		case e.Outcome == batch.Built && e.Cached:
			fmt.Fprintf(w, "%s %s %s (%s, nothing had changed; %s)\n", name, e.Digest, megabytes(e.Size), e.Outcome, stages(e.Stages))
		case e.Outcome == batch.Built:
			fmt.Fprintf(w, "%s %s %s (%s; %s)\n", name, e.Digest, megabytes(e.Size), e.Outcome, stages(e.Stages))
		case e.Outcome.OK():
			fmt.Fprintf(w, "%s %s (%s)\n", name, e.Digest, e.Outcome)
		case e.Outcome == batch.Failed:
			fmt.Fprintf(w, "%s failed in stage %s (%s)\n", name, e.Stage, cmp.Or(e.Kind, "build"))
		case e.Why == "": // interrupted while it was worked on
			fmt.Fprintf(w, "%s %s in stage %s\n", name, e.Outcome, cmp.Or(e.Stage, "?"))
		default:
			fmt.Fprintf(w, "%s %s: %s\n", name, e.Outcome, e.Why)
		}
		for _, n := range e.Notes {
			fmt.Fprintf(w, "  note: %s\n", n)
		}
		verb := "pushed"
		if e.Outcome != batch.Built {
			verb = "stands at"
		}
		for _, ref := range e.References {
			fmt.Fprintf(w, "  %s %s\n", verb, ref)
		}
	}
	printTotals(w, r)
}

func printTotals(w io.Writer, r *batch.Report) {
	t := r.Totals
	var parts []string
	for _, o := range batch.Outcomes {
		if n := t.Outcomes[o]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	fmt.Fprintf(w, "%s in %.1f s: %s\n", count(t.Recipes, "recipe"), r.Seconds, strings.Join(parts, ", "))
	fmt.Fprintf(w, "  %s; %s of packages assembled (%d again); %s run (%d again), %d cached; %s, %d failed, %d cached\n",
		count(t.EngineStarts, "engine start"), count(t.Filesystems.Assembled, "layer"), t.Filesystems.Repeated,
		count(t.Execs.Run, "command"), t.Execs.Repeated, t.Execs.Cached, count(t.Tests, "test"), t.TestsFailed, t.TestsCached)
	fmt.Fprintf(w, "  %s downloaded, %s uploaded; layers of %s, which would be %s if nothing were shared\n",
		megabytes(t.Downloaded), megabytes(t.Uploaded), megabytes(t.LayerBytes.Unique), megabytes(t.LayerBytes.Unshared))
}

// showPlan prints what would be done.
func showPlan(c *cli.Context, b *batch.Batch, opt batch.Options) error {
	p, err := b.Plan(c.Context, opt)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		writeJSON(c.App.Writer, p)
		return nil
	}
	w := c.App.Writer
	for i, r := range p.Recipes {
		name := r.Name
		if r.Base != "" {
			name += " on " + r.Base
		}
		kind := "packages"
		if r.Compiles {
			kind = "compiles"
		}
		if r.Seconds > 0 {
			kind += fmt.Sprintf(", took %.0f s", r.Seconds)
		}
		fmt.Fprintf(w, "%3d  %-5s  %s (%s): %s\n", i+1, r.Action, name, kind, r.Why)
	}
	for _, s := range p.Shared {
		state := "to be made once"
		if s.Stands {
			state = "made before"
		}
		fmt.Fprintf(w, "shared by %d recipes: %s, %d packages, %s, %s\n", len(s.Recipes), s.Name, s.Packages, megabytes(s.Bytes), state)
	}
	fmt.Fprintf(w, "%d recipes, %d at a time\n", len(p.Recipes), p.Jobs)
	return nil
}
