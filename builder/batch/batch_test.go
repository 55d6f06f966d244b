package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder"
	"github.com/riscv-build/riscv-build/builder/display"
	"github.com/riscv-build/riscv-build/recipes"
)

// fakeWork stands for the builder where the order of things is looked at; what
// a real one does is tested end to end.
type fakeWork struct {
	mu     sync.Mutex
	built  []string
	inputs map[string]string // by name; default the name
	fail   map[string]error
	busy   int
	most   int // recipes at the same time
	hold   time.Duration
}

func (w *fakeWork) Build(ctx context.Context, req builder.Request) (*builder.Result, error) {
	name := req.Recipe.Name
	w.mu.Lock()
	w.busy++
	w.most = max(w.most, w.busy)
	w.built = append(w.built, name)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.busy--
		w.mu.Unlock()
	}()
	req.Stage("engine")
	select {
	case <-ctx.Done():
		return &builder.Result{Name: name, Stage: "engine"}, ctx.Err()
	case <-time.After(w.hold):
	}
	if err := w.fail[name]; err != nil {
		return &builder.Result{Name: name, Stage: "check"}, err
	}
	layers := []builder.LayerResult{{Digest: "sha256:shared", Size: 100}, {Digest: digest.FromString(name), Size: 10}}
	return &builder.Result{Name: name, Digest: digest.FromString(name), Layers: layers}, nil
}

func (w *fakeWork) Inputs(req builder.Request) string {
	if in, ok := w.inputs[req.Recipe.Name]; ok {
		return in
	}
	return req.Recipe.Name
}

func (w *fakeWork) Outlook(context.Context, builder.Request) (builder.Outlook, error) {
	return builder.Outlook{}, nil
}

func (w *fakeWork) Assembled() (int, int) { return 0, 0 }

func (w *fakeWork) Unchanged(_ context.Context, req builder.Request) (*builder.Result, bool, error) {
	return &builder.Result{Name: req.Recipe.Name, Tags: []string{"r"}}, strings.HasPrefix(req.Recipe.Name, "same"), nil
}

// items makes recipes out of lines "NAME", "NAME compiles" or "NAME on BASE" in one directory.
func items(t *testing.T, lines ...string) []Item {
	t.Helper()
	dir := t.TempDir()
	for _, line := range lines {
		name, rest, _ := strings.Cut(line, " ")
		text := fmt.Sprintf("schema = 1\nname = %q\nversion = \"1\"\n", name)
		switch base, on := strings.CutPrefix(rest, "on "); {
		case on:
			text += "image.base = \"recipe:" + base + "\"\n"
		case rest == "compiles":
			text += "build.template = \"script\"\nbuild.steps.install = \"true\"\n"
		}
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var all []Item
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " ")
		path := filepath.Join(dir, name+".toml")
		r, err := recipes.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, Item{Name: name, File: path, Request: builder.Request{Recipe: r, LockPath: filepath.Join(dir, "riscv-build.lock"), Push: []string{"registry"}}})
	}
	return all
}

// setting is a batch with what it writes.
type setting struct {
	state string
	work  *fakeWork
	out   bytes.Buffer
	opt   Options
}

func newSetting(t *testing.T) *setting {
	t.Helper()
	s := &setting{state: t.TempDir(), work: &fakeWork{}}
	d, err := display.New(&s.out, "plain", false)
	if err != nil {
		t.Fatal(err)
	}
	s.opt = Options{
		StateDir: s.state, Version: "v", Work: s.work, Screen: NewScreen(d, s.state), Meter: &Meter{},
		EngineStarts: func() int { return 0 },
		ExitCode: func(ctx context.Context, err error) int {
			if ctx.Err() != nil {
				return exitInterrupted
			}
			return 1
		},
	}
	return s
}

func (s *setting) run(ctx context.Context, t *testing.T, list []Item, jobs int) (*Report, error) {
	t.Helper()
	b, err := New(list, jobs, s.state)
	if err != nil {
		t.Fatal(err)
	}
	return b.Run(ctx, s.opt)
}

func outcomes(r *Report) string {
	var parts []string
	for _, e := range r.Recipes {
		parts = append(parts, e.Name+":"+string(e.Outcome))
	}
	return strings.Join(parts, " ")
}

func TestOrder(t *testing.T) {
	list := items(t, "a", "b compiles", "top on middle", "middle on low", "low", "z compiles")
	nodes, err := order(list, map[string]float64{"z": 1000})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range nodes {
		names = append(names, n.Name)
	}
	if got := strings.Join(names, " "); got != "z b low middle a top" {
		t.Errorf("the order is %s", got)
	}
	twice := append(list, list[0])
	if _, err := order(twice, nil); err == nil || !strings.Contains(err.Error(), `both named "a"`) {
		t.Errorf("a recipe named twice gives %v", err)
	}
	other := items(t, "a")
	if _, err := order(append(list, other...), nil); err == nil || !strings.Contains(err.Error(), "would both be pushed") {
		t.Errorf("two images of one name give %v", err)
	}
}

func TestAtTheSameTime(t *testing.T) {
	s := newSetting(t)
	s.work.hold = 30 * time.Millisecond
	list := items(t, "c1 compiles", "c2 compiles", "c3 compiles", "p1", "p2")
	r, err := s.run(t.Context(), t, list, 3)
	if err != nil || s.work.most != 3 || r.Totals.Outcomes[Built] != 5 {
		t.Fatalf("%v: %d at the same time, %v", err, s.work.most, r.Totals.Outcomes)
	}
	// Two compile, and one place is for what fills the gaps.
	if first := s.work.built[:3]; strings.Count(strings.Join(first, " "), "p") != 1 {
		t.Errorf("begun first: %v", first)
	}
	if l := r.Totals.LayerBytes; l.Unique != 150 || l.Unshared != 550 {
		t.Errorf("layers: %+v", l)
	}
}

func TestFailures(t *testing.T) {
	broken := Item{Name: "broken", File: "broken.toml", Err: recipes.Problems{{File: "broken.toml", Line: 3, What: "x", Do: "y"}}}
	list := items(t, "low", "middle on low", "top on middle", "good")
	s := newSetting(t)
	s.opt.KeepGoing = true
	s.work.fail = map[string]error{"low": errors.New("no luck")}
	r, err := s.run(t.Context(), t, append(list, broken), 1)
	if got := outcomes(r); got != "low:failed middle:blocked broken:failed good:built top:blocked" {
		t.Errorf("with keep-going: %s", got)
	}
	var failed *FailedError
	if !errors.As(err, &failed) || len(failed.errs) != 2 || r.Exit != 1 || r.Error == "" {
		t.Errorf("the error is %v, the exit %d", err, r.Exit)
	}
	if e := r.Recipes[0]; e.Stage != "check" || e.Error != "no luck" || e.Kind != "build" {
		t.Errorf("the failed entry: %+v", e)
	}
	if e := r.Recipes[2]; e.Stage != "load" || len(e.Problems) != 1 || e.Problems[0].Line != 3 {
		t.Errorf("the broken entry: %+v", e)
	}
	if e := r.Recipes[1]; e.Why != "it stands on low, which is failed" {
		t.Errorf("the blocked entry: %+v", e)
	}
	for _, want := range []string{"low | no luck\n", "good: started\n", "low: failed in stage check"} {
		if !strings.Contains(s.out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, s.out.String())
		}
	}

	s = newSetting(t)
	s.work.fail = map[string]error{"a": errors.New("no luck")}
	r, _ = s.run(t.Context(), t, items(t, "a", "b", "c"), 1)
	if got := outcomes(r); got != "a:failed b:not started c:not started" {
		t.Errorf("without keep-going: %s", got)
	}
}

func TestInterruptAndResume(t *testing.T) {
	s := newSetting(t)
	list := items(t, "a", "b", "c", "d on b")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			s.work.mu.Lock()
			n := len(s.work.built)
			s.work.mu.Unlock()
			if n >= 3 {
				cancel()
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	s.work.hold = 20 * time.Millisecond
	r, err := s.run(ctx, t, list, 1)
	<-done
	if err == nil || r.Exit != exitInterrupted || r.Totals.Outcomes[Built] != 2 || r.Totals.Outcomes[Interrupted] != 1 || r.Totals.Outcomes[NotStarted] != 1 {
		t.Fatalf("%v: exit %d, %s", err, r.Exit, outcomes(r))
	}
	// A crash in the middle of a line costs that line.
	journal := filepath.Join(s.state, "batch", "journal")
	f, err := os.OpenFile(journal, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"key":"x","entry":{"na`)
	f.Close()
	first := append([]string{}, s.work.built[:2]...)
	s.work.built, s.work.hold, s.opt.Resume = nil, 0, true
	r, err = s.run(t.Context(), t, list, 2)
	if err != nil || r.Totals.Outcomes[Resumed] != 2 || r.Totals.Outcomes[Built] != 2 {
		t.Fatalf("%v: %s", err, outcomes(r))
	}
	for _, name := range first {
		if strings.Contains(strings.Join(s.work.built, " "), name) {
			t.Errorf("%s was built again: %v", name, s.work.built)
		}
	}
	// What has changed since is built again, and what stands on it.
	s.work.built, s.work.inputs = nil, map[string]string{"b": "changed"}
	r, err = s.run(t.Context(), t, list, 1)
	if err != nil || r.Totals.Outcomes[Built] != 2 || strings.Join(s.work.built, " ") != "b d" {
		t.Errorf("%v: %s, built %v", err, outcomes(r), s.work.built)
	}
	// So is what goes to another registry.
	for i := range list {
		list[i].Request.Push = []string{"other"}
	}
	if r, _ = s.run(t.Context(), t, list, 1); r.Totals.Outcomes[Built] != 4 {
		t.Errorf("to another registry: %s", outcomes(r))
	}
	// Without --resume a batch begins anew.
	s.opt.Resume = false
	if r, _ = s.run(t.Context(), t, list, 1); r.Totals.Outcomes[Built] != 4 {
		t.Errorf("anew: %s", outcomes(r))
	}
}

func TestChanged(t *testing.T) {
	s := newSetting(t)
	s.opt.Changes = s.work
	r, err := s.run(t.Context(), t, items(t, "same1", "same2", "other"), 2)
	if err != nil || strings.Join(s.work.built, " ") != "other" || r.Totals.Outcomes[Unchanged] != 2 {
		t.Errorf("%v: %s, built %v", err, outcomes(r), s.work.built)
	}
}

func TestDefaultJobs(t *testing.T) {
	for _, c := range []struct {
		processors int
		memory     int64
		want       int
	}{{2, 24 << 30, 3}, {4, 4 << 30, 3}, {4, 2 << 30, 1}, {1, 1 << 30, 1}, {16, 64 << 30, 8}, {2, 0, 3}} {
		if got := defaultJobs(c.processors, c.memory); got != c.want {
			t.Errorf("%d processors, %d bytes: %d", c.processors, c.memory, got)
		}
	}
}
