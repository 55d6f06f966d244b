package batch

import (
	"errors"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/recipes"
)

// kinds put exit statuses in a word.
var kinds = map[int]string{1: "build", 2: "recipe", 3: "environment", 4: "network", 130: "interrupted"}

func newEntry(item Item) *Entry {
	e := &Entry{
		Name: item.Name, File: item.File, Outcome: NotStarted,
		Tests: []Test{}, Stages: map[string]float64{}, References: []string{}, Layers: []Layer{},
	}
	if r := item.Request.Recipe; r != nil {
		e.Version = r.Version
		if name, ok := r.BaseRecipe(); ok {
			e.Base = name
		}
	}
	return e
}

// take fills in what a build gave, as far as it came.
func (e *Entry) take(r *builder.Result) {
	if r == nil {
		return
	}
	e.Cached, e.Digest, e.Stages, e.Notes = r.Cached, r.Digest, r.Stages, r.Notes
	e.Downloaded, e.Uploaded = r.DownloadedBytes, r.UploadedBytes
	e.References = append(e.References, r.Tags...)
	for _, l := range r.Layers {
		e.Layers = append(e.Layers, Layer(l))
		e.Size += l.Size
	}
	for _, t := range r.Tests {
		e.Tests = append(e.Tests, Test{Name: t.Name, Passed: t.OK, Cached: t.Cached, Seconds: t.Seconds, Output: t.Detail})
	}
}

// fail notes why there is no image.
func (e *Entry) fail(stage string, err error, exit int) {
	e.Outcome, e.Stage, e.Error, e.Exit, e.Kind = Failed, stage, err.Error(), exit, kinds[exit]
	if exit == exitInterrupted {
		e.Outcome = Interrupted
	}
	var problems recipes.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			e.Problems = append(e.Problems, Problem{File: p.File, Line: p.Line, What: p.What, Do: p.Do})
		}
	}
}

// exitInterrupted is the status of a run that a signal ended.
const exitInterrupted = 130

// sum adds entries up.
func (t *Totals) sum(entries []Entry) {
	t.Recipes, t.Outcomes = len(entries), map[Outcome]int{}
	seen := map[string]bool{}
	for _, e := range entries {
		t.Outcomes[e.Outcome]++
		t.Downloaded += e.Downloaded
		t.Uploaded += e.Uploaded
		for _, test := range e.Tests {
			t.Tests++
			if !test.Passed {
				t.TestsFailed++
			}
			if test.Cached {
				t.TestsCached++
			}
		}
		if !e.Outcome.OK() {
			continue
		}
		for _, l := range e.Layers {
			t.LayerBytes.Unshared += l.Size
			if !seen[l.Digest.String()] {
				seen[l.Digest.String()] = true
				t.LayerBytes.Unique += l.Size
			}
		}
	}
}
