package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// The benchmark builds the same sources, by the same commands and configure
// options, three ways in one run: riscv-build from an empty state directory,
// BuildKit with a Dockerfile under QEMU on a prepared riscv64 root, and the
// plain amd64 compile, which is the limit. Downloads are done on all sides.

// benchJobs is the number of make jobs on every side.
const benchJobs = 2

// bench is one image of the benchmark.
type bench struct {
	t      *testing.T
	recipe *recipes.Recipe
	lock   *lock.File
	store  *fetch.Store
}

// newBench makes ready what a name of the catalogue or a recipe file needs; the
// packages of a file are locked now.
func newBench(t *testing.T, name string) *bench {
	t.Helper()
	seed := downloads(t)
	b := &bench{t: t}
	var err error
	if b.store, err = fetch.Open(filepath.Join(seed, "content")); err != nil {
		t.Fatal(err)
	}
	if filepath.Ext(name) != ".toml" {
		if b.recipe, err = recipes.LoadCatalog(name); err != nil {
			t.Fatal(err)
		}
		if b.lock, err = lock.Parse("catalog", recipes.CatalogLock()); err != nil {
			t.Fatal(err)
		}
		return b
	}
	s := &state{t: t, dir: seed}
	s.ok("lock", name, "--allow-expired")
	s.ok("fetch", name, "--locked")
	if b.recipe, err = recipes.Load(name); err != nil {
		t.Fatal(err)
	}
	lockFile := filepath.Join(filepath.Dir(name), lock.Name)
	text, err := os.ReadFile(lockFile)
	if err != nil {
		t.Fatal(err)
	}
	if b.lock, err = lock.Parse(lockFile, text); err != nil {
		t.Fatal(err)
	}
	return b
}

// stepTimes reads the "step NAME NANOSECONDS" lines of a script.
func stepTimes(t *testing.T, out string) map[string]float64 {
	t.Helper()
	m := map[string]float64{}
	var last string
	var at, first int64
	for _, line := range strings.Split(out, "\n") {
		i := strings.Index(line, "step ")
		if i < 0 {
			continue
		}
		var name string
		var ns int64
		if n, _ := fmt.Sscanf(line[i:], "step %s %d", &name, &ns); n != 2 || ns < 1e18 {
			continue
		}
		if last == "" {
			first = ns
		} else {
			m[last] = float64(ns-at) / 1e9
		}
		last, at = name, ns
	}
	if last != "end" {
		t.Fatalf("the script did not reach its end:\n%s", tail(out, 30))
	}
	m["all"] = float64(at-first) / 1e9
	return m
}

func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, tail(string(out), 40))
	}
	return string(out)
}

// cross builds all images in one run and gives the wall time and the seconds of
// each recipe's steps.
func cross(t *testing.T, names []string) (time.Duration, map[string]map[string]float64) {
	t.Helper()
	s := downloaded(t, "bench")
	r := s.ok(append([]string{"build", "--json", "--progress", "rawjson", "--jobs", strconv.Itoa(benchJobs)}, names...)...)
	steps := map[string]map[string]float64{}
	for _, line := range strings.Split(r.Stderr, "\n") {
		var st struct {
			Vertexes []struct {
				Name      string     `json:"name"`
				Started   *time.Time `json:"started"`
				Completed *time.Time `json:"completed"`
			} `json:"vertexes"`
		}
		if json.Unmarshal([]byte(line), &st) != nil {
			continue
		}
		for _, v := range st.Vertexes {
			recipe, step, ok := strings.Cut(v.Name, ": ")
			if !ok || v.Started == nil || v.Completed == nil {
				continue
			}
			if steps[recipe] == nil {
				steps[recipe] = map[string]float64{}
			}
			steps[recipe][step] = v.Completed.Sub(*v.Started).Seconds()
		}
	}
	return r.Took, steps
}

// runBench measures all sides of recipes of the catalogue or in files, and
// prints the table.
func runBench(t *testing.T, names []string) (whole, native, emulated, compile, nativeCompile float64) {
	t.Helper()
	docker := startDocker(t)
	var all []*bench
	for _, name := range names {
		all = append(all, newBench(t, name))
	}
	took, steps := cross(t, names)
	whole = took.Seconds()
	// The emulated sides take most of an hour: what is compared most closely runs close together, before them.
	natives := map[string]map[string]float64{}
	for _, b := range all {
		name := b.recipe.Name
		natives[name] = b.native()
		native, nativeCompile = native+natives[name]["all"], nativeCompile+natives[name]["compile"]
		compile += steps[name]["compile"]
		fmt.Printf("%s: riscv-build %v, amd64 %v seconds by step\n", name, steps[name], natives[name])
	}
	fmt.Printf("riscv-build %.1f s, amd64 compiles %.1f s; compile steps alone %.1f s and %.1f s\n", whole, native, compile, nativeCompile)
	fmt.Printf("%-9s %22s %14s %14s %14s\n", "", "riscv-build, steps", "amd64", "Dockerfile", "ratio")
	for _, b := range all {
		name := b.recipe.Name
		n, e := natives[name], b.emulated(docker)
		var own float64
		for step, s := range steps[name] {
			if step != "unpack" {
				own += s
			}
		}
		emulated += e["all"]
		fmt.Printf("%-9s %20.1f s %12.1f s %12.1f s   1 : %.2f : %.1f\n", name, own, n["all"], e["all"], own/n["all"], e["all"]/n["all"])
	}
	fmt.Printf("%-9s %20.1f s %12.1f s %12.1f s   1 : %.2f : %.1f\n", "whole run", whole, native, emulated, whole/native, emulated/native)
	return
}

// workload is what the benchmark compiles: the catalogue's three images or,
// reduced, a program of a few files.
func workload(t *testing.T) []string {
	t.Helper()
	if full {
		return []string{"busybox", "nginx", "redis"}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root(), "tests", "testdata"))); err != nil {
		t.Fatal(err)
	}
	return []string{filepath.Join(dir, "pigz.toml")}
}

// TestBench is `make bench`: the three source builds side by side.
func TestBench(t *testing.T) {
	if !full {
		t.Log("the benchmark runs as part of line B here, on a small program")
		return
	}
	runBench(t, workload(t))
}

// TestLineB: time against the amd64 compile and against emulation.
func TestLineB(t *testing.T) {
	names := workload(t)
	whole, native, emulated, compile, nativeCompile := runBench(t, names)
	limit := 1.5*native + 40
	figure(t, "B", fmt.Sprintf("whole run of %d: %.1f s, amd64 compiles %.1f s: %.2fx (1.1x would be %.1f s)", len(names), whole, native, whole/native, 1.1*native),
		fmt.Sprintf("1.5x + 40 s = %.1f s", limit), whole <= limit, true)
	figure(t, "B", fmt.Sprintf("%.1fx faster than emulated (%.1f s)", emulated/whole, emulated), "6x", emulated/whole >= 6, true)
	figure(t, "B", fmt.Sprintf("compile steps alone %.1f s : %.1f s = %.2fx", compile, nativeCompile, compile/nativeCompile), "1.35x", compile <= 1.35*nativeCompile, true)
}
