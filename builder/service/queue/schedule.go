package queue

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
)

// clockEvery is how long the scheduler sleeps at most: the clock of a board
// without a battery jumps by years when the network comes.
const clockEvery = time.Minute

const maxSchedules = 1000

var (
	scheduleName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	cronNames    = []string{"@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"}
	conditions   = []string{service.Always, service.WhenOutdated, service.WhenSecurity}
)

// everything is the recipe of a schedule that means all of them.
const everything = "*"

// Schedules implements service.Service.
func (q *Queue) Schedules(ctx context.Context) ([]service.Schedule, error) {
	return q.cfg.Store.Schedules(ctx)
}

// PutSchedule implements service.Service.
func (q *Queue) PutSchedule(ctx context.Context, s service.Schedule) (service.Schedule, error) {
	if s.When == "" {
		s.When = service.Always
	}
	next, err := checkSchedule(s)
	if err != nil {
		return s, err
	}
	all, err := q.cfg.Store.Schedules(ctx)
	if err != nil {
		return s, err
	}
	if len(all) >= maxSchedules && !slices.ContainsFunc(all, func(o service.Schedule) bool { return o.Name == s.Name }) {
		return s, &service.ConflictError{Err: fmt.Errorf("adding schedule %q: there are %d already: delete some", s.Name, len(all))}
	}
	err = q.change(ctx, func(tx *store.Tx) error {
		old, err := tx.Schedule(s.Name)
		var missing *service.NotFoundError
		if err != nil && !errors.As(err, &missing) {
			return err
		}
		s.Last, s.Told, s.Next = old.Last, old.Told, nil
		if !s.Paused {
			s.Next = &next
		}
		return tx.PutSchedule(s)
	})
	signal(q.poke)
	return s, err
}

// DeleteSchedule implements service.Service.
func (q *Queue) DeleteSchedule(ctx context.Context, name string) error {
	err := q.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.Schedule(name); err != nil {
			return err
		}
		return tx.DeleteSchedule(name)
	})
	signal(q.poke)
	return err
}

// checkSchedule gives the next time of a schedule that is right.
func checkSchedule(s service.Schedule) (time.Time, error) {
	invalid := func(field, format string, args ...any) (time.Time, error) {
		return time.Time{}, &service.InvalidError{Field: field, Err: fmt.Errorf(format, args...)}
	}
	if !scheduleName.MatchString(s.Name) {
		return invalid("name", "naming schedule %q: write up to 64 of a-z, 0-9, dot, dash and underscore, the first a letter or digit", s.Name)
	}
	next, err := nextTime(s.Cron, store.Now())
	if err != nil {
		return invalid("cron", "reading cron %q: %w: write five fields (minute hour day month weekday) or one of %s", s.Cron, err, strings.Join(cronNames, ", "))
	}
	if len(s.Recipes) == 0 {
		return invalid("recipes", "reading the recipes of schedule %q: there are none: name some, or * for all", s.Name)
	}
	if len(s.Recipes) > 1 && slices.Contains(s.Recipes, everything) {
		return invalid("recipes", "reading the recipes of schedule %q: * stands beside others: write it alone", s.Name)
	}
	if !slices.Contains(conditions, s.When) {
		return invalid("when", "reading when %q of schedule %q: write one of %s", s.When, s.Name, strings.Join(conditions, ", "))
	}
	return next, checkOptions(s.Options)
}

// nextTime is the first time after now that a cron expression names, in the
// zone of the service.
func nextTime(cron string, now time.Time) (time.Time, error) {
	if fields := strings.Fields(cron); len(fields) != 5 && !slices.Contains(cronNames, cron) {
		return time.Time{}, fmt.Errorf("it has %d fields", len(fields))
	}
	if !gronx.IsValid(cron) {
		return time.Time{}, errors.New("a field is not right")
	}
	next, err := gronx.NextTickAfter(cron, now.Local(), false)
	if err == nil && !next.After(now) {
		err = errors.New("it names no time")
	}
	return next.UTC(), err
}

// schedule fires schedules at their times until ctx ends.
func (q *Queue) schedule(ctx context.Context) {
	for {
		next, err := q.fire(ctx)
		if err != nil && ctx.Err() == nil {
			q.cfg.Log.Error("working on schedules", "error", err)
		}
		var tick <-chan time.Time // for ever, where nothing is due at any time
		if next != nil {
			tick = time.After(min(max(time.Until(*next), 0), clockEvery))
		}
		select {
		case <-ctx.Done():
			return
		case <-q.poke:
		case <-tick:
		}
	}
}

// fire does what schedules are due for, and gives the time of the next.
func (q *Queue) fire(ctx context.Context) (next *time.Time, err error) {
	all, err := q.cfg.Store.Schedules(ctx)
	if err != nil {
		again := time.Now().Add(clockEvery)
		return &again, err
	}
	for _, s := range all {
		at := s.Next
		switch {
		case at == nil || s.Paused:
			continue
		case at.After(time.Now()):
		case s.When == service.Always:
			if at, err = q.fireOne(ctx, s, s.Recipes, ""); err != nil {
				q.cfg.Log.Error("building what a schedule names", "schedule", s.Name, "error", err)
			}
		default: // the worker looks for newer versions, then it is told
			q.mu.Lock()
			q.due[s.Name] = true
			q.mu.Unlock()
			signal(q.wake)
			continue
		}
		if at != nil && (next == nil || at.Before(*next)) {
			next = at
		}
	}
	return next, nil
}

// fireOne queues recipes for a schedule and notes, in the same change, that it
// has run: a crash makes it neither run twice nor not at all. However many
// times were missed, it runs once. It gives the schedule's next time.
func (q *Queue) fireOne(ctx context.Context, s service.Schedule, names []string, told string) (*time.Time, error) {
	ran := s.Next
	note := func(tx *store.Tx, told string) error {
		now, err := tx.Schedule(s.Name)
		if err != nil {
			return err // it was deleted meanwhile
		}
		at, err := nextTime(now.Cron, store.Now())
		if err != nil {
			return err
		}
		now.Last, now.Next, now.Told = ran, &at, q.cfg.Redact(told)
		if now.Paused {
			now.Next = nil
		}
		s = now
		return tx.PutSchedule(now)
	}
	err := error(nil)
	if len(names) > 0 {
		names, err = q.expand(ctx, names)
	}
	if err == nil && len(names) > 0 {
		_, err = q.submit(ctx, service.Submission{
			Recipes: names, Options: s.Options, Client: "schedule " + s.Name, Cause: service.BySchedule,
		}, func(tx *store.Tx, builds []service.Build) error {
			return note(tx, fmt.Sprintf("queued %s%s", counted(len(builds), "build"), told))
		})
		if err == nil {
			return s.Next, nil
		}
	}
	if ctx.Err() != nil {
		return s.Next, ctx.Err() // it is due again at the next start
	}
	if err != nil {
		told = err.Error()
	}
	if noted := q.change(ctx, func(tx *store.Tx) error { return note(tx, told) }); noted != nil {
		again := time.Now().Add(clockEvery)
		var missing *service.NotFoundError
		if errors.As(noted, &missing) {
			return nil, nil
		}
		return &again, errors.Join(err, noted)
	}
	return s.Next, err
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// expand names the recipes that * means: those of --recipes if there are any,
// else the catalogue's, without those that have errors.
func (q *Queue) expand(ctx context.Context, names []string) ([]string, error) {
	if !slices.Equal(names, []string{everything}) {
		return names, nil
	}
	all, err := q.cfg.Sources.Recipes(ctx)
	if err != nil {
		return nil, err
	}
	for _, from := range []string{service.FromRecipes, service.FromCatalog} {
		var out []string
		for _, r := range all {
			if r.From == from && r.Problem == "" {
				out = append(out, r.Name)
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, errors.New("looking for recipes: there are none without errors: correct them")
}
