// Package batch runs `riscv-build batch` as a CI does: recipes that fail in each
// of the ways there are, runs that are killed and interrupted, a real registry.
// The recipes are small: what a batch does with them is looked at, not they.
package batch

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/tests/rig"
)

func TestMain(m *testing.M) { rig.Main(m) }

// gate stands before a registry: it counts requests by repository, and holds
// the tagging of one repository's image until it is opened.
type gate struct {
	url    string
	held   chan struct{} // closed when something is held for the first time
	mu     sync.Mutex
	counts map[string]int
}

const slow = "slow" // the recipe whose image is held

func openGate(t *testing.T, open <-chan struct{}) *gate {
	t.Helper()
	addr := fmt.Sprintf("127.0.0.1:%d", rig.FreePort(t))
	rig.Start(t, rig.Binary, "registry", "serve", "--quiet", "--addr", addr, "--root", t.TempDir())
	rig.WaitFor(t, 20*time.Second, "the registry", func() bool {
		answer, err := http.Get("http://" + addr + "/healthz")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	behind := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	behind.ErrorLog = log.New(io.Discard, "", 0) // clients that hang up are none of its business
	g := &gate{held: make(chan struct{}), counts: map[string]int{}}
	first := sync.OnceFunc(func() { close(g.held) })
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		parts := strings.Split(r.URL.Path, "/")
		if len(parts) > 3 {
			g.counts[parts[3]]++
		}
		g.mu.Unlock()
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/"+slow+"/manifests/") {
			first()
			select {
			case <-open:
			case <-r.Context().Done():
				return
			}
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	g.url = s.URL
	return g
}

// requests gives the number of requests about a recipe's repository.
func (g *gate) requests(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[name]
}

// opened is an opened gate's channel.
func opened() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

// folder makes a directory of recipes without packages, by name and the text that is
// added; their lock is begun with the catalogue's, so that nothing is resolved.
func folder(t *testing.T, more map[string]string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(lock.Name, string(recipes.CatalogLock()))
	for _, name := range names {
		base := more["base of "+name]
		if base == "" {
			base = "scratch"
		}
		write(name+".toml", fmt.Sprintf("schema = 1\nname = %[1]q\nversion = \"1\"\nlicense = \"MIT\"\n[image]\nbase = %[2]q\n"+
			"[[image.file]]\npath = \"/%[1]s.txt\"\ncontent = \"hello %[1]s\"\n[[test]]\nname = \"there\"\nfile = { path = \"/%[1]s.txt\", contains = \"hello\" }\n%[3]s", name, base, more[name]))
	}
	return dir
}

func run(t *testing.T, state string, args ...string) (rig.Result, batch.Report) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.json")
	r := rig.Run(context.Background(), nil, append([]string{"batch", "--state-dir", state, "--report", file}, args...)...)
	return r, read(t, file, r.Stderr)
}

func read(t *testing.T, file, said string) batch.Report {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	var rep batch.Report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	return rep
}

func digests(r batch.Report) map[string]string {
	all := map[string]string{}
	for _, e := range r.Recipes {
		all[e.Name] = e.Digest.String()
	}
	return all
}

func entry(t *testing.T, r batch.Report, name string) batch.Entry {
	t.Helper()
	i := slices.IndexFunc(r.Recipes, func(e batch.Entry) bool { return e.Name == name })
	if i < 0 {
		t.Fatalf("there is no entry %q", name)
	}
	return r.Recipes[i]
}

// TestLineBatchF: nor does what the registry had before.
func TestLineBatchF(t *testing.T) {
	dir := folder(t, map[string]string{"base of top": "recipe:a"}, "a", "b", "c", "d", "top")
	g := openGate(t, opened())
	one, first := run(t, filepath.Join(t.TempDir(), "s"), dir, "--jobs", "1", "--push", g.url)
	names := []string{"top", "d", "c", "b", "a"}
	for i, n := range names {
		names[i] = filepath.Join(dir, n+".toml")
	}
	state := filepath.Join(t.TempDir(), "s")
	two, second := run(t, state, append(names, "--jobs", "4", "--push", g.url)...)
	if one.Code != 0 || two.Code != 0 {
		t.Fatalf("exits %d and %d\n%s\n%s", one.Code, two.Code, one.Stderr, two.Stderr)
	}
	for name, d := range digests(first) {
		if d == "" || digests(second)[name] != d {
			t.Errorf("%s is %q and %q", name, d, digests(second)[name])
		}
	}
	if n := second.Totals.EngineStarts; n != 0 {
		t.Errorf("%d engine starts for recipes that run nothing", n)
	}
	r, third := run(t, state, dir, "--changed", "--push", g.url)
	if r.Code != 0 || third.Totals.Outcomes[batch.Unchanged] != 5 || third.Totals.EngineStarts != 0 {
		t.Errorf("--changed: exit %d, %v\n%s", r.Code, third.Totals.Outcomes, r.Stderr)
	}
}

// TestLineBatchE: one recipe broken, one test failing, one source unreachable.
func TestLineBatchE(t *testing.T) {
	dir := folder(t, map[string]string{
		"failing":     "[[test]]\nname = \"fails\"\nfile = { path = \"/failing.txt\", equals = \"other\" }\n",
		"unreachable": "[source.x]\nurl = \"http://127.0.0.1:1/x.tar.gz\"\nsha256 = \"" + strings.Repeat("ab", 32) + "\"\n[build]\ntemplate = \"script\"\nsteps.install = \"true\"\n",
		"base of top": "recipe:failing",
	}, "failing", "unreachable", "good1", "good2", "top")
	if err := os.WriteFile(filepath.Join(dir, "broken.toml"), []byte("schema = 1\nname = \"broken\"\nversion = 3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := openGate(t, opened())
	state := filepath.Join(t.TempDir(), "s")
	r, rep := run(t, state, dir, "--keep-going", "--push", g.url)
	if r.Code != 2 || rep.Exit != 2 {
		t.Errorf("exit %d, in the report %d\n%s", r.Code, rep.Exit, r.Stderr)
	}
	for name, want := range map[string]batch.Entry{
		"broken":      {Outcome: batch.Failed, Stage: "load", Exit: 2, Kind: "recipe"},
		"failing":     {Outcome: batch.Failed, Stage: "check", Exit: 1, Kind: "build"},
		"unreachable": {Outcome: batch.Failed, Stage: "lock", Exit: 4, Kind: "network"},
		"top":         {Outcome: batch.Blocked},
		"good1":       {Outcome: batch.Built},
		"good2":       {Outcome: batch.Built},
	} {
		e := entry(t, rep, name)
		if e.Outcome != want.Outcome || e.Stage != want.Stage || e.Exit != want.Exit || e.Kind != want.Kind {
			t.Errorf("%s: %s in stage %q, exit %d, %q: %s", name, e.Outcome, e.Stage, e.Exit, e.Kind, e.Error)
		}
		if want.Outcome == batch.Built && (len(e.References) != 1 || g.requests(name) == 0) {
			t.Errorf("%s was not pushed: %v", name, e.References)
		}
	}
	if e := entry(t, rep, "failing"); len(e.Tests) != 2 || e.Tests[1].Passed || e.Tests[1].Output == "" {
		t.Errorf("the tests of failing: %+v", e.Tests)
	}
	if r, rep = run(t, filepath.Join(t.TempDir(), "s"), dir, "--push", g.url); r.Code != 2 || rep.Totals.Outcomes[batch.Built] != 0 {
		t.Errorf("without --keep-going: exit %d, %v", r.Code, rep.Totals.Outcomes)
	}
}

// begin starts a batch of three recipes whose slow one is held at the registry,
// and returns when the others are done.
func begin(t *testing.T, state, file string, g *gate, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(rig.Binary, "batch", dir, "--jobs", "2", "--push", g.url, "--state-dir", state, "--report", file)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	select {
	case <-g.held:
	case <-time.After(2 * time.Minute):
		t.Fatal("nothing was pushed within two minutes")
	}
	rig.WaitFor(t, time.Minute, "the end of the others", func() bool {
		text, _ := os.ReadFile(filepath.Join(state, "batch", "journal"))
		return strings.Count(string(text), "\n") == 2
	})
	return cmd
}

// resume goes on with such a batch and looks at what was done again.
func resume(t *testing.T, state string, g *gate, dir string) {
	t.Helper()
	before := map[string]int{"a": g.requests("a"), "b": g.requests("b")}
	r, rep := run(t, state, dir, "--resume", "--push", g.url)
	if r.Code != 0 || rep.Totals.Outcomes[batch.Resumed] != 2 || rep.Totals.Outcomes[batch.Built] != 1 {
		t.Fatalf("exit %d, %v\n%s", r.Code, rep.Totals.Outcomes, r.Stderr)
	}
	for name, n := range before {
		if got := g.requests(name); got != n {
			t.Errorf("%s was asked for or pushed again: %d requests more", name, got-n)
		}
	}
	_, fresh := run(t, filepath.Join(t.TempDir(), "s"), dir)
	for name, d := range digests(fresh) {
		if digests(rep)[name] != d {
			t.Errorf("%s is %q after an interruption, %q without", name, digests(rep)[name], d)
		}
	}
}

func TestLineBatchEKilled(t *testing.T) {
	open := make(chan struct{})
	dir, state, g := folder(t, nil, "a", "b", slow), filepath.Join(t.TempDir(), "s"), openGate(t, open)
	cmd := begin(t, state, filepath.Join(t.TempDir(), "r.json"), g, dir)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	close(open)
	resume(t, state, g, dir)
}

func TestLineBatchFInterrupted(t *testing.T) {
	open := make(chan struct{})
	dir, state, g := folder(t, nil, "a", "b", slow), filepath.Join(t.TempDir(), "s"), openGate(t, open)
	file := filepath.Join(t.TempDir(), "r.json")
	cmd := begin(t, state, file, g, dir)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	rep := read(t, file, "")
	if code := cmd.ProcessState.ExitCode(); code != 130 || rep.Exit != 130 {
		t.Errorf("exit %d, in the report %d", code, rep.Exit)
	}
	if e := entry(t, rep, slow); e.Outcome != batch.Interrupted || e.Stage != "push" || e.Kind != "interrupted" {
		t.Errorf("the interrupted recipe: %+v", e)
	}
	close(open)
	resume(t, state, g, dir)
}
