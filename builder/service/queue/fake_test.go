package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/outdated"
	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/builder/service/store"
	"github.com/riscv-build/riscv-build/recipes"
)

// fake is sources, maker and bench in one. What a build does is a function.
type fake struct {
	mu     sync.Mutex
	built  []string // recipes, in order
	opens  int
	closes int
	report *outdated.Report
	swept  []digest.Digest // trees that were asked about
	kept   []digest.Digest
	do     func(ctx context.Context, req builder.Request, show builder.Display) error
	result func(name string) *builder.Result // nil: made by "fake"
}

var (
	_ service.Sources = (*fake)(nil)
	_ service.Maker   = maker{}
	_ service.Bench   = (*fake)(nil)
)

func (f *fake) Resolve(_ context.Context, s service.Submission) ([]service.Candidate, error) {
	var out []service.Candidate
	for _, name := range s.Recipes {
		if name == "wrong" {
			return nil, &service.InvalidError{Field: "recipes", Err: errors.New("no such recipe")}
		}
		out = append(out, service.Candidate{Recipe: name, Version: "1", Tree: digest.FromString("tree of " + name), Inputs: digest.FromString(name)})
	}
	return out, nil
}

func (f *fake) request(name string) builder.Request {
	return builder.Request{Recipe: &recipes.Recipe{Name: name}}
}

func (f *fake) Open(_ context.Context, b service.Build) (*service.Opened, error) {
	return &service.Opened{
		Request: f.request(b.Recipe),
		Lock:    func() ([]byte, error) { return nil, fs.ErrNotExist },
		Close:   func(bool) error { return nil },
	}, nil
}

func (f *fake) Recipes(context.Context) ([]service.RecipeInfo, error) {
	return []service.RecipeInfo{{Name: "a", From: service.FromCatalog}, {Name: "b", From: service.FromCatalog}, {Name: "c", From: service.FromCatalog, Problem: "wrong"}}, nil
}

func (f *fake) All(context.Context) ([]builder.Request, func() error, error) {
	return nil, func() error { return nil }, nil
}

func (f *fake) Pushed(context.Context, service.Push) (service.Submission, error) {
	return service.Submission{}, nil
}

func (f *fake) Sweep(_ context.Context, keep func(digest.Digest) bool) error {
	for _, t := range f.swept {
		if keep(t) {
			f.kept = append(f.kept, t)
		}
	}
	return nil
}

// maker is the fake as a Maker, whose Open is another one.
type maker struct{ *fake }

func (m maker) Open(context.Context, func(string)) (service.Bench, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.opens++
	return m.fake, nil
}

func (f *fake) Exit(context.Context, error) int { return 1 }

func (f *fake) Build(ctx context.Context, req builder.Request, show builder.Display) (*builder.Result, error) {
	f.mu.Lock()
	f.built = append(f.built, req.Recipe.Name)
	do := f.do
	f.mu.Unlock()
	r := &builder.Result{Name: req.Recipe.Name, Digest: digest.FromString(req.Recipe.Name), Engine: "fake"}
	if f.result != nil {
		r = f.result(req.Recipe.Name)
	}
	if do != nil {
		if err := do(ctx, req, show); err != nil {
			r.Error = err.Error()
			return r, err
		}
	}
	return r, nil
}

func (f *fake) Unchanged(context.Context, builder.Request) (*builder.Result, bool, error) {
	return nil, false, nil
}

func (f *fake) Graph(context.Context, builder.Request) ([]byte, error) { return []byte("{}"), nil }

func (f *fake) Outdated(context.Context, []builder.Request) (*outdated.Report, error) {
	return f.report, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closes++
	return nil
}

func (f *fake) order() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.built)
}

// rig is a queue on a store of a test.
type rig struct {
	*Queue
	t    *testing.T
	fake *fake
	stop func()
}

// open opens a queue on the database in a directory; Run is not called.
func open(t *testing.T, dir string, change func(*Config)) *rig {
	t.Helper()
	s, err := store.Open(t.Context(), filepath.Join(dir, "service.db"))
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{}
	cfg := Config{Store: s, Sources: f, Maker: maker{f}, Version: "test", Push: []string{"registry.lan:6000"}}
	if change != nil {
		change(&cfg)
	}
	q, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Queue: q, t: t, fake: f}
	r.stop = func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	return r
}

// run runs the queue until stop.
func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	shut := r.stop
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
		shut()
	}
}

// submit queues recipes for a client.
func (r *rig) submit(client string, options service.Options, names ...string) []service.Build {
	r.t.Helper()
	list, err := r.Submit(r.t.Context(), service.Submission{Recipes: names, Options: options, Client: client, Cause: service.ByAPI})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// await waits until a build has ended, and gives it with its events.
func (r *rig) await(id int64) (service.Build, []service.Event) {
	r.t.Helper()
	var all []service.Event
	for after := int64(0); ; {
		events, wait, err := r.Events(r.t.Context(), id, after, 7)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, e := range events {
			if after++; e.Seq != after || e.Build != id {
				r.t.Fatalf("event %d of build %d where %d of %d should be", e.Seq, e.Build, after, id)
			}
		}
		all = append(all, events...)
		if wait == nil {
			break
		}
		select {
		case <-wait:
		case <-time.After(time.Minute):
			r.t.Fatalf("build %d does not end", id)
		}
	}
	b, err := r.Queue.Build(r.t.Context(), id)
	if err != nil {
		r.t.Fatal(err)
	}
	if !b.Status.Final() {
		r.t.Fatalf("build %d: no more events, but it is %s", id, b.Status)
	}
	return b, all
}

// statuses are those that events tell of, in order.
func statuses(events []service.Event) string {
	out := ""
	for _, e := range events {
		if e.Kind == service.StatusEvent {
			out += fmt.Sprintf("%s ", statusOf(e))
		}
	}
	return out
}
