package queue

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// CheckOutdated implements service.Service: the worker looks for newer versions
// before the next build.
func (q *Queue) CheckOutdated(_ context.Context, client string) error {
	q.mu.Lock()
	q.wanted = true
	q.mu.Unlock()
	q.cfg.Log.Info("a check for newer versions is wanted", "client", client)
	signal(q.wake)
	return nil
}

// Outdated implements service.Service.
func (q *Queue) Outdated(ctx context.Context) (service.OutdatedReport, error) {
	r, err := q.cfg.Store.Outdated(ctx)
	q.mu.Lock()
	defer q.mu.Unlock()
	r.Running = q.checking || q.wanted
	return r, err
}

// checkWanted tells whether to look for newer versions.
func (q *Queue) checkWanted() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.wanted || len(q.due) > 0
}

// check looks for newer versions, keeps what it found, and builds what
// schedules want then.
func (q *Queue) check(ctx context.Context) error {
	if err := q.bench.open(ctx); err != nil {
		return err
	}
	q.wait("")
	q.mu.Lock()
	due := q.due
	q.due, q.wanted, q.checking = map[string]bool{}, false, true
	q.mu.Unlock()
	defer signal(q.poke) // schedules have other times now, or are still due
	report, failed := q.findOutdated(ctx)
	q.mu.Lock()
	q.checking = false
	q.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err() // schedules are due again at the next start
	}
	now := store.Now()
	kept, err := q.cfg.Store.Outdated(ctx)
	if err != nil {
		return err
	}
	kept.Checked, kept.Error = &now, ""
	if failed != nil {
		kept.Error = q.cfg.Redact(failed.Error())
	} else {
		kept.Report = report
	}
	if err := q.change(ctx, func(tx *store.Tx) error { return tx.PutOutdated(kept) }); err != nil {
		return err
	}
	schedules, err := q.cfg.Store.Schedules(ctx)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		if due[s.Name] && s.Next != nil {
			err = errors.Join(err, q.fireChecked(ctx, s, report, failed))
		}
	}
	return err
}

// findOutdated looks at all recipes that can be named.
func (q *Queue) findOutdated(ctx context.Context) (*outdated.Report, error) {
	requests, done, err := q.cfg.Sources.All(ctx)
	if err != nil {
		return nil, err
	}
	report, err := q.bench.made.Outdated(ctx, requests)
	return report, errors.Join(err, done())
}

// fireChecked builds what a report says is outdated of the recipes of a schedule.
func (q *Queue) fireChecked(ctx context.Context, s service.Schedule, report *outdated.Report, failed error) error {
	if failed != nil {
		_, err := q.fireOne(ctx, s, nil, "looking for newer versions: "+failed.Error())
		return err
	}
	names, err := q.expand(ctx, s.Recipes)
	if err != nil {
		_, err := q.fireOne(ctx, s, nil, err.Error())
		return err
	}
	behind := affected(report, s.When == service.WhenSecurity)
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !behind[path.Base(name)] })
	s.Options.Update = true
	told := ": " + strings.Join(names, ", ") + " had newer packages"
	if len(names) == 0 {
		told = "nothing is outdated"
	}
	if len(report.Errors) > 0 {
		told += fmt.Sprintf(" (%s had no answer)", counted(len(report.Errors), "question"))
	}
	_, err = q.fireOne(ctx, s, names, told)
	return err
}

// affected are the recipes that become another image when their packages are
// resolved again. A newer source is not among the reasons: its recipe has to
// name it first.
func affected(r *outdated.Report, security bool) map[string]bool {
	out := map[string]bool{}
	for _, p := range r.Packages {
		for _, name := range p.Recipes {
			out[name] = out[name] || p.Security || !security
		}
	}
	return out
}
