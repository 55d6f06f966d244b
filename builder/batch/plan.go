package batch

import (
	"cmp"
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder"
)

// Plan is what a batch would do.
type Plan struct {
	Jobs    int       `json:"jobs"`    // recipes at a time
	Recipes []Planned `json:"results"` // in the order they would be started
	Shared  []Shared  `json:"shared"`
}

// Action is what would be done with a recipe.
type Action string

// The actions of a plan.
const (
	WouldBuild Action = "build"
	WouldFail  Action = "fail"
	WouldSkip  Action = "skip"
)

// Planned is one recipe of a plan.
type Planned struct {
	Name     string  `json:"name"`
	Version  string  `json:"version"`
	File     string  `json:"file"`
	Base     string  `json:"base"`
	Action   Action  `json:"action"`
	Why      string  `json:"why"`
	Compiles bool    `json:"compiles"`
	Seconds  float64 `json:"seconds"` // that it took when it was last made; 0: never, or not known
	Missing  int64   `json:"missing"` // bytes of packages of the layers that are to be assembled
	Inputs   string  `json:"inputs"`  // digest of what it would be made from; empty: packages are resolved first
}

// Shared is a layer of packages that several recipes use: it is made once.
type Shared struct {
	Name     string   `json:"name"` // of the set in the lock
	Packages int      `json:"packages"`
	Bytes    int64    `json:"bytes"`  // of these
	Stands   bool     `json:"stands"` // it was made before
	Recipes  []string `json:"recipes"`
}

// Plan finds out what Run would do, and does nothing of it.
func (b *Batch) Plan(ctx context.Context, opt Options) (*Plan, error) {
	opt.KeepGoing = true // every recipe is looked at
	r := &run{Batch: b, opt: opt, journal: readJournal(opt.StateDir)}
	r.settle(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	looks, err := r.outlooks(ctx)
	if err != nil {
		return nil, err
	}
	p := &Plan{Jobs: b.jobs, Recipes: []Planned{}}
	took := loadSeconds(opt.StateDir)
	for _, n := range b.nodes {
		step := Planned{
			Name: n.Name, Version: n.entry.Version, File: n.File, Base: n.entry.Base, Compiles: n.compiles(), Seconds: took[n.Name],
			Action: WouldSkip, Why: n.entry.Why,
		}
		switch look := looks[n]; {
		case n.entry.Outcome == Failed:
			step.Action, step.Why = WouldFail, n.entry.Error
		case !n.entry.Outcome.OK():
			step.Action, step.Why, step.Inputs = WouldBuild, r.why(look), look.Inputs
			for _, l := range look.Layers {
				if !l.Stands {
					step.Missing += l.Bytes
				}
			}
		}
		p.Recipes = append(p.Recipes, step)
	}
	p.Shared = b.shared(looks)
	return p, nil
}

func (r *run) why(look builder.Outlook) string {
	switch {
	case look.Stale != "":
		return "packages are resolved first: " + look.Stale
	case r.opt.Changes != nil:
		return "no registry that it goes to has it with these inputs"
	}
	return "it was asked for"
}

// outlooks looks at the recipes that would be built. One that cannot be built
// fails in the plan too.
func (r *run) outlooks(ctx context.Context) (map[*node]builder.Outlook, error) {
	found := make([]builder.Outlook, len(r.waiting))
	errs := make([]error, len(r.waiting))
	var group errgroup.Group
	group.SetLimit(2) // a lock is parsed for one at a time anyway
	for i, n := range r.waiting {
		group.Go(func() error {
			found[i], errs[i] = r.opt.Work.Outlook(ctx, n.Request)
			return ctx.Err()
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	looks := map[*node]builder.Outlook{}
	for i, n := range r.waiting {
		if errs[i] != nil {
			n.entry.fail("lock", errs[i], r.opt.ExitCode(ctx, errs[i]))
			continue
		}
		looks[n] = found[i]
	}
	return looks, nil
}

// shared are the layers that more than one recipe uses, the most used first.
func (b *Batch) shared(looks map[*node]builder.Outlook) []Shared {
	byKey := map[string]*Shared{}
	for _, n := range b.nodes {
		for _, l := range looks[n].Layers {
			if l.Packages == 0 {
				continue
			}
			s := byKey[l.Key]
			if s == nil {
				s = &Shared{Name: l.Name, Packages: l.Packages, Bytes: l.Bytes, Stands: l.Stands}
				byKey[l.Key] = s
			}
			if !slices.Contains(s.Recipes, n.Name) {
				s.Recipes = append(s.Recipes, n.Name)
			}
		}
	}
	all := []Shared{}
	for _, s := range byKey {
		if len(s.Recipes) > 1 {
			all = append(all, *s)
		}
	}
	slices.SortFunc(all, func(x, y Shared) int {
		return cmp.Or(cmp.Compare(len(y.Recipes), len(x.Recipes)), cmp.Compare(x.Name, y.Name), cmp.Compare(y.Bytes, x.Bytes))
	})
	return all
}
