package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// firstBatch is the first build of the catalogue in this run: from an empty state
// directory in the full run, else on what the other tests have built.
type firstBatch struct {
	dir    string
	report batch.Report
	load   load
}

var (
	firstOnce sync.Once
	first     firstBatch
)

// batched builds the catalogue in one batch, once; it is pushed if there is a
// registry by then.
func batched(t *testing.T, push ...string) (*state, firstBatch) {
	t.Helper()
	firstOnce.Do(func() {
		s := &state{t: t, dir: filepath.Join(rig.Work, "batch")}
		if !full {
			s = warm(t)
		}
		var f firstBatch
		stop := f.load.watch()
		f.report = s.batch(push...)
		stop()
		f.dir = s.dir
		first = f
	})
	if first.dir == "" {
		t.Fatal("the first batch failed, see above")
	}
	return &state{t: t, dir: first.dir}, first
}

// batch runs a batch over the catalogue, which has to end well, and gives its report.
func (s *state) batch(args ...string) batch.Report {
	s.t.Helper()
	var rep batch.Report
	r := s.ok(slices.Concat([]string{"batch", "--json", "--progress", "plain", "--keep-going"}, catalogued(), args)...)
	if err := json.Unmarshal([]byte(r.Stdout), &rep); err != nil {
		s.t.Fatalf("reading the report: %v\n%s", err, r.Stdout)
	}
	return rep
}

// pushing is the option that pushes to a registry.
func pushing(reg string) []string { return []string{"--push", reg} }

func digestsOf(rep batch.Report) map[string]string {
	all := map[string]string{}
	for _, e := range rep.Recipes {
		all[e.Name] = e.Digest.String()
	}
	return all
}

// TestLineBatchA: the whole catalogue, from nothing into a registry, in one run.
// It is the first that builds it: files of tests are taken in the order of their names.
func TestLineBatchA(t *testing.T) {
	reg := registry(t)
	s, f := batched(t, pushing(reg)...)
	if f.report.Targets == nil {
		f.report = s.batch(pushing(reg)...) // another line has built it
	}
	rep := f.report
	green := rep.Totals.Outcomes[batch.Built]
	figure(t, "batch A", fmt.Sprintf("%d of %d images in %.0f s, %.0f MB downloaded; layers of %.0f MB, %.0f MB if nothing were shared",
		green, rep.Totals.Recipes, rep.Seconds, mb(rep.Totals.Downloaded), mb(rep.Totals.LayerBytes.Unique), mb(rep.Totals.LayerBytes.Unshared)),
		"all built and pushed", green == len(catalogued()) && rep.Exit == 0, false)
	for _, e := range rep.Recipes {
		if len(e.References) == 0 {
			t.Errorf("%s was not pushed", e.Name)
		}
	}
}

// TestLineBatchB: the same again.
func TestLineBatchB(t *testing.T) {
	reg := registry(t)
	s, _ := batched(t)
	s.batch(pushing(reg)...)
	again := s.batch(pushing(reg)...)
	each := again.Seconds / float64(again.Totals.Recipes)
	figure(t, "batch B", fmt.Sprintf("again: %.2f s a recipe, %d of %d tests cached", each, again.Totals.TestsCached, again.Totals.Tests), "0.5 s", each <= 0.5, true)
	if again.Totals.Tests != again.Totals.TestsCached || again.Totals.Execs.Run != 0 || again.Totals.Filesystems.Assembled != 0 {
		t.Errorf("it was not all cached: %+v", again.Totals)
	}
	changed := s.batch(append(pushing(reg), "--changed")...)
	unchanged := changed.Totals.Outcomes[batch.Unchanged]
	figure(t, "batch B", fmt.Sprintf("with --changed: %.2f s, %d engine starts", changed.Seconds, changed.Totals.EngineStarts), "3 s, 0", changed.Seconds <= 3, true)
	if unchanged != changed.Totals.Recipes || changed.Totals.EngineStarts != 0 {
		t.Errorf("%d of %d are unchanged, %d engine starts", unchanged, changed.Totals.Recipes, changed.Totals.EngineStarts)
	}
}

// TestLineBatchC: a package of the lock gets a security update; exactly the
// recipes that have it are to be built again.
func TestLineBatchC(t *testing.T) {
	reg := registry(t)
	s, _ := batched(t)
	s.batch(pushing(reg)...)
	dir := filepath.Join(t.TempDir(), "catalogue")
	if r := run(t.Context(), nil, append([]string{"catalog", "export", dir}, catalogued()...)...); r.Code != 0 {
		t.Fatalf("exporting the catalogue: exit %d\n%s", r.Code, r.Stderr)
	}
	file := filepath.Join(dir, lock.Name)
	for _, name := range []string{"tzdata", "zlib1g", "gcc-14-riscv64-linux-gnu"} {
		l, err := lock.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		want := renew(l, name)
		updated := filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(updated, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if err := l.Save(filepath.Join(updated, lock.Name)); err != nil {
			t.Fatal(err)
		}
		var plan batch.Plan
		r := s.ok("batch", updated, "--push", reg, "--changed", "--plan", "--json")
		if err := json.Unmarshal([]byte(r.Stdout), &plan); err != nil {
			t.Fatalf("%v\n%s", err, r.Stdout)
		}
		var got []string
		for _, p := range plan.Recipes {
			if p.Action == batch.WouldBuild {
				got = append(got, p.Name)
			}
		}
		slices.Sort(got)
		figure(t, "batch C", fmt.Sprintf("with a new %s are built: %v", name, got), fmt.Sprint(want), slices.Equal(got, want), false)
	}
}

// renew gives a package of a lock another version, as an update does, and names
// the recipes that have it, or stand on one that has.
func renew(l *lock.File, name string) []string {
	ids := map[string]string{}
	for i, p := range l.Packages {
		if p.Name == name {
			fresh := strings.Replace(p.ID, p.Version, p.Version+"+new", 1)
			ids[p.ID] = fresh
			l.Packages[i].ID, l.Packages[i].Version = fresh, p.Version+"+new"
		}
	}
	swap := func(list []string) (found bool) {
		for i, id := range list {
			if fresh, ok := ids[id]; ok {
				list[i], found = fresh, true
			}
		}
		slices.Sort(list)
		return found
	}
	for _, p := range l.Packages {
		swap(p.Depends)
	}
	slices.SortFunc(l.Packages, func(a, b lock.Package) int { return strings.Compare(a.ID, b.ID) })
	hit := map[string]bool{}
	for _, set := range l.Sets {
		if !swap(set.Packages) {
			continue
		}
		for part := range strings.SplitSeq(set.Name, "/") {
			hit[part] = true
		}
	}
	var names []string
	for _, name := range catalogued() {
		r, err := recipes.LoadCatalog(name)
		if err != nil {
			continue
		}
		for ; r != nil; r = r.Base() {
			if hit[r.Name] {
				names = append(names, name)
				break
			}
		}
	}
	return names
}

// TestLineBatchD: what recipes share is made once, and the processors are busy
// while there is something to compile.
func TestLineBatchD(t *testing.T) {
	_, f := batched(t)
	tot := f.report.Totals
	figure(t, "batch D", fmt.Sprintf("%d layers of packages assembled, %d of them again; %d commands run, %d of them again",
		tot.Filesystems.Assembled, tot.Filesystems.Repeated, tot.Execs.Run, tot.Execs.Repeated), "0 again",
		tot.Filesystems.Repeated == 0 && tot.Execs.Repeated == 0, false)
	busy := f.load.busy()
	if full {
		figure(t, "batch D", fmt.Sprintf("processors %.0f %% busy in the %d s in which something compiled", busy, f.load.seconds), "85 %", busy >= 85, true)
	}
}

// load watches how busy the machine is while compilers run.
type load struct {
	seconds     int
	used, total float64
}

func (l *load) busy() float64 { return 100 * l.used / max(l.total, 1) }

// watch looks once a second until it is stopped.
func (l *load) watch() (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		idle, total := processorTime()
		for {
			select {
			case <-end:
				return
			case <-time.After(time.Second):
			}
			i, n := processorTime()
			if compiling() {
				l.seconds++
				l.used += n - total - (i - idle)
				l.total += n - total
			}
			idle, total = i, n
		}
	}()
	return func() { close(end); <-done }
}

// processorTime is that of all processors together, proc(5). What other work
// of this machine took at a lower priority counts as idle: a batch has none.
func processorTime() (idle, total float64) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line) {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil || i > 8 {
			continue
		}
		total += n
		if i == 2 || i == 4 || i == 5 {
			idle += n
		}
	}
	return idle, total
}

// compiling tells whether a compiler or a linker of Go runs.
func compiling() bool {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	return slices.ContainsFunc(names, func(name string) bool {
		text, _ := os.ReadFile(name)
		return slices.Contains([]string{"cc1", "cc1plus", "compile", "link"}, strings.TrimSpace(string(text)))
	})
}

func mb(n int64) float64 { return float64(n) / 1e6 }
