package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/riscv-build/riscv-build/builder/batch"
)

// The forms of a report, by the ending of its name.
const reportForms = "json"

var reportEndings = []string{".json"}

// giveReport prints the report and writes the file that was asked for.
func giveReport(c *cli.Context, r *batch.Report) error {
	if c.Bool("json") {
		writeJSON(c.App.Writer, r)
	} else {
		printBatch(c.App.Writer, r)
	}
	path := c.String("report")
	if path == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(path, append(text, '\n'), 0o644)
	}
	if err != nil {
		return environmentError{fmt.Errorf("writing the report %q: %w: choose another file with --report", path, err)}
	}
	return nil
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
	fmt.Fprintf(w, "%d recipes in %.1f s: %s\n", t.Recipes, r.Seconds, strings.Join(parts, ", "))
	fmt.Fprintf(w, "  %d engine starts; %d layers of packages assembled (%d again); %d commands run (%d again), %d cached; %d tests, %d failed, %d cached\n",
		t.EngineStarts, t.Filesystems.Assembled, t.Filesystems.Repeated, t.Execs.Run, t.Execs.Repeated, t.Execs.Cached, t.Tests, t.TestsFailed, t.TestsCached)
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
