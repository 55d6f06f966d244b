package batch

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/builder/batch"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/tests/rig"
)

// generated makes a directory of n recipes that are the catalogue's nginx by
// other names, all in one lock.
func generated(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	l, err := lock.Parse(lock.Name, recipes.CatalogLock())
	if err != nil {
		t.Fatal(err)
	}
	catalogue := filepath.Join(rig.Root(), "recipes/catalog")
	text, err := os.ReadFile(filepath.Join(catalogue, "nginx.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "files"), os.DirFS(filepath.Join(catalogue, "files"))); err != nil {
		t.Fatal(err)
	}
	like, _ := l.Recipe("nginx")
	sets := l.Sets
	for i := range n {
		name := fmt.Sprintf("generated%03d", i)
		own := like
		own.Name = name
		l.Recipes = append(l.Recipes, own)
		for _, s := range sets {
			if in := strings.Replace(s.Name+"/", "/nginx/", "/"+name+"/", 1); in != s.Name+"/" {
				s.Name = strings.TrimSuffix(in, "/")
				l.Sets = append(l.Sets, s)
			}
		}
		recipe := strings.NewReplacer(`name    = "nginx"`, `name    = "`+name+`"`, "riscv64/nginx", "riscv64/"+name).Replace(string(text))
		if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(recipe), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, lock.Name), l.Marshal(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLineBatchJ: a plan of 200 recipes, and asking a registry about each, takes
// seconds and little memory.
func TestLineBatchJ(t *testing.T) {
	const n = 200
	dir := generated(t, n)
	open := make(chan struct{})
	g := openGate(t, open)
	for _, args := range [][]string{{"--plan"}, {"--plan", "--changed", "--push", g.url}} {
		cmd := exec.Command(rig.Binary, append([]string{"batch", dir, "--json", "--state-dir", t.TempDir()}, args...)...)
		cmd.Stderr = os.Stderr
		start := time.Now()
		out, err := cmd.Output()
		took := time.Since(start)
		var plan batch.Plan
		if err == nil {
			err = json.Unmarshal(out, &plan)
		}
		if err != nil || len(plan.Recipes) != n {
			t.Fatalf("batch %v: %v, %d recipes", args, err, len(plan.Recipes))
		}
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10 // getrusage(2): kB
		rig.Figure{
			Line: "batch J", Got: fmt.Sprintf("batch %s of %d recipes: %.1f s, %d MB", strings.Join(args[:len(args)-len(args)/3*2], " "), n, took.Seconds(), peak/1e6),
			Limit: "5 s, 300 MB", OK: took <= 5*time.Second && peak <= 300e6, Timing: true,
		}.Report(t)
	}
}
