package batch

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder"
)

// atOnce is how many recipes are looked up in registries at the same time.
const atOnce = 8

// run is a batch being worked through. What it holds is changed by one
// goroutine only.
type run struct {
	*Batch
	opt     Options
	journal *Journal
	waiting []*node // in order
	busy    int     // recipes that are worked on
	compile int     // of these, how many compile
	kept    bool    // the journal has recipes that are done
	stopped string  // name of the recipe whose failure keeps others from starting
	errs    []error
}

// Run works through the batch and reports it, whatever its end. The error is a
// *FailedError, or that of the machine that kept the batch from beginning.
func (b *Batch) Run(ctx context.Context, opt Options) (*Report, error) {
	started := time.Now()
	journal, err := OpenJournal(opt.StateDir, opt.Resume)
	if err != nil {
		return b.report(opt, started), err
	}
	r := &run{Batch: b, opt: opt, journal: journal}
	opt.Screen.open(len(b.nodes))
	r.settle(ctx)
	r.work(ctx)
	r.rest(ctx)
	opt.Screen.close()
	if err := journal.Close(); err != nil {
		r.errs = append(r.errs, journal.fail("closing", err))
	}
	report := b.report(opt, started)
	saveSeconds(opt.StateDir, report.Recipes)
	if err = r.failure(ctx, report); err != nil {
		report.Error, report.Exit = err.Error(), opt.ExitCode(ctx, err)
	}
	return report, err
}

// settle finds the recipes for which nothing is to be done.
func (r *run) settle(ctx context.Context) {
	for _, n := range r.nodes {
		switch {
		case n.Err != nil:
			r.fail(ctx, n, ended{stage: "load", err: n.Err})
			continue
		case r.opt.Resume && r.resumed(n):
			continue
		}
		r.waiting = append(r.waiting, n)
	}
	if r.opt.Changes != nil && r.stopped == "" {
		r.unchanged(ctx)
	}
}

// resumed takes over what an earlier run finished.
func (r *run) resumed(n *node) bool {
	key := n.key(r.opt.Work)
	e, ok := r.journal.Done(key)
	if key == "" || !ok {
		return false
	}
	e.File, e.Outcome, e.Why = n.File, Resumed, "an earlier run finished it with the same inputs"
	e.Downloaded, e.Uploaded, e.Seconds = 0, 0, 0
	*n.entry, r.kept = e, true
	r.done(n)
	return true
}

// unchanged asks registries for all that is left, several at a time.
func (r *run) unchanged(ctx context.Context) {
	type answer struct {
		result *builder.Result
		same   bool
		err    error
	}
	answers := make([]answer, len(r.waiting))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, n := range r.waiting {
		group.Go(func() error {
			a := &answers[i]
			a.result, a.same, a.err = r.opt.Changes.Unchanged(ctx, n.Request)
			return nil
		})
	}
	_ = group.Wait() // answers hold the errors
	asked := r.waiting
	r.waiting = nil
	for i, n := range asked {
		a := answers[i]
		switch {
		case a.err != nil:
			r.fail(ctx, n, ended{stage: "changed", result: a.result, err: a.err})
		case a.same:
			n.entry.take(a.result)
			n.entry.Outcome, n.entry.Why = Unchanged, whyUnchanged
			r.finish(n)
		default:
			r.waiting = append(r.waiting, n)
		}
	}
}

const whyUnchanged = "the registry has it with the same inputs"

// ended is how the build of a recipe ended.
type ended struct {
	n      *node
	result *builder.Result
	err    error
	stage  string // that failed
	took   time.Duration
}

// work builds what is left, several recipes at a time.
func (r *run) work(ctx context.Context) {
	results := make(chan ended)
	for {
		for r.busy < r.jobs && ctx.Err() == nil && r.stopped == "" {
			n := r.next()
			if n == nil {
				break
			}
			r.busy++
			if n.compiles() {
				r.compile++
			}
			r.opt.Screen.begin(n.entry)
			go func() { results <- r.build(ctx, n) }()
		}
		if r.busy == 0 {
			return
		}
		e := <-results
		r.busy--
		if e.n.compiles() {
			r.compile--
		}
		e.n.entry.take(e.result)
		e.n.entry.Seconds = seconds(e.took)
		if e.err != nil {
			r.fail(ctx, e.n, e)
			continue
		}
		e.n.entry.Outcome = Built
		if e.result.Outcome == builder.OutcomeUnchanged { // who builds has asked
			e.n.entry.Outcome, e.n.entry.Why = Unchanged, whyUnchanged
		}
		r.finish(e.n)
	}
}

func (r *run) build(ctx context.Context, n *node) ended {
	req := n.Request
	req.Stage = func(name string) { r.opt.Screen.stage(n.Name, name) }
	start := time.Now()
	result, err := r.opt.Work.Build(ctx, req)
	e := ended{n: n, result: result, err: err, took: time.Since(start)}
	if result != nil {
		e.stage = result.Stage
	}
	return e
}

// next takes the first recipe that can be started. One place is for recipes
// that need no compiler, as long as there are any: they fill the gaps.
func (r *run) next() *node {
	first, filler := -1, -1
	for i, n := range r.waiting {
		if n.base != nil && !n.base.entry.Outcome.OK() {
			continue
		}
		if first < 0 {
			first = i
		}
		if filler < 0 && !n.compiles() {
			filler = i
		}
	}
	if first < 0 {
		return nil
	}
	if filler >= 0 && r.waiting[first].compiles() && r.compile >= max(1, r.jobs-1) {
		first = filler
	}
	n := r.waiting[first]
	r.waiting = slices.Delete(r.waiting, first, first+1)
	return n
}

// finish notes a recipe that is done for this and for later runs.
func (r *run) finish(n *node) {
	if key := n.key(r.opt.Work); key != "" {
		if err := r.journal.Add(key, *n.entry); err != nil {
			r.errs = append(r.errs, err)
		}
		r.kept = true
	}
	r.done(n)
}

func (r *run) done(n *node) {
	if n.compiles() {
		r.compiles.Add(-1)
	}
	r.opt.Screen.ended(n.entry, nil)
}

func (r *run) fail(ctx context.Context, n *node, e ended) {
	n.entry.fail(e.stage, e.err, r.opt.ExitCode(ctx, e.err))
	r.errs = append(r.errs, e.err)
	if !r.opt.KeepGoing && r.stopped == "" {
		r.stopped = n.Name
	}
	if n.compiles() {
		r.compiles.Add(-1)
	}
	r.opt.Screen.ended(n.entry, e.err)
}

// rest says of the recipes that were not started why.
func (r *run) rest(ctx context.Context) {
	for _, n := range r.waiting { // a base is before what stands on it
		e := n.entry
		switch {
		case n.base != nil && slices.Contains([]Outcome{Failed, Blocked}, n.base.entry.Outcome):
			e.Outcome, e.Why = Blocked, fmt.Sprintf("it stands on %s, which is %s", n.base.Name, n.base.entry.Outcome)
		case ctx.Err() != nil:
			e.Why = "the batch was interrupted before its turn"
		default:
			e.Why = fmt.Sprintf("%s had failed before its turn; --keep-going would have gone on", r.stopped)
		}
		r.opt.Screen.ended(e, nil)
	}
}

// failure is the error of the batch; nil if all went well.
func (r *run) failure(ctx context.Context, report *Report) error {
	if len(r.errs) == 0 && ctx.Err() == nil {
		return nil
	}
	e := &FailedError{Recipes: len(r.nodes), Outcome: report.Totals.Outcomes, Kept: r.kept, errs: r.errs}
	for _, n := range r.nodes {
		if n.entry.Outcome == Failed {
			e.Failed = append(e.Failed, n.Name)
		}
	}
	if ctx.Err() != nil {
		e.errs = append(e.errs, errors.New("the batch was interrupted"))
	}
	return e
}

// report gathers what became of the recipes.
func (b *Batch) report(opt Options, started time.Time) *Report {
	rep := &Report{Tool: opt.Version, Started: started.UTC().Round(time.Second), Seconds: seconds(time.Since(started)), Engine: "none", Targets: []string{}}
	for _, n := range b.nodes {
		rep.Recipes = append(rep.Recipes, *n.entry)
		if r := n.Request.Recipe; r != nil {
			rep.Targets = n.Request.Push
		}
	}
	rep.Totals.sum(rep.Recipes)
	rep.Totals.EngineStarts = opt.EngineStarts()
	rep.Totals.Execs = opt.Meter.Execs()
	if name := opt.Meter.Name(); name != "" {
		rep.Engine = name
	}
	rep.Totals.Filesystems.Assembled, rep.Totals.Filesystems.Repeated = opt.Work.Assembled()
	return rep
}

// seconds rounds to milliseconds.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
