package tests

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLineADemo: a fresh clone and an empty HOME, by the README's command
// alone. The full run starts with nothing at all; the reduced one is given the
// downloads and Go's caches.
func TestLineADemo(t *testing.T) {
	dir := t.TempDir()
	clone, home := filepath.Join(dir, "clone"), filepath.Join(dir, "home")
	must(t, need(t, "git", "git"), "clone", "-q", root(), clone)
	if err := os.Mkdir(home, 0o755); err != nil {
		t.Fatal(err)
	}
	s := emptyState(t, "state")
	env := []string{"HOME=" + home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "RISCV_BUILD_STATE_DIR=" + s.dir}
	if full {
		env = append(env, "GOCACHE="+filepath.Join(home, "go-build"), "GOMODCACHE="+filepath.Join(home, "go-mod"))
		t.Cleanup(func() { sh("chmod", "-R", "u+w", home) })
	} else {
		s = warm(t)
		env[3] = "RISCV_BUILD_STATE_DIR=" + s.dir
		for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
			env = append(env, name+"="+strings.TrimSpace(must(t, "go", "env", name)))
		}
	}
	r := command(context.Background(), env, need(t, "make", "make"), "-C", clone, "demo")
	ok := r.Code == 0 && strings.Contains(r.Stdout+r.Stderr, "Welcome to nginx!") && strings.Contains(r.Stdout+r.Stderr, "riscv64")
	figure(t, "A", fmt.Sprintf("make demo in a fresh clone: exit %d after %.0f s", r.Code, r.Took.Seconds()), "serves its page", ok, false)
	if !ok {
		t.Log(tail(r.Stdout, 20), tail(r.Stderr, 40))
	}
}

// TestLineAGone: the lock's packages have left the mirror. The build resolves
// again and says so; --locked refuses, and names recipe and package.
func TestLineAGone(t *testing.T) {
	m := newMirror(t)
	file := writeRecipe(t, smallRecipe)
	s := emptyState(t, "state")
	s.env = append(m.env(), "RISCV_BUILD_KEYRING="+m.keyring)
	s.ok("lock", file, "--keyring", m.keyring)
	lockFile := filepath.Join(filepath.Dir(file), "riscv-build.lock")
	text, err := os.ReadFile(lockFile)
	if err != nil {
		t.Fatal(err)
	}
	// As a lock of last year names them: other versions, other bytes, other paths.
	old := regexp.MustCompile(`(tzdata_)[0-9][^_"]*(_all)`).ReplaceAllString(string(text), "${1}2019a-0${2}")
	old = regexp.MustCompile(`(name = "tzdata", version = ")[^"]*`).ReplaceAllString(old, "${1}2019a-0")
	old = regexp.MustCompile(`("pool/main/t/tzdata/[^}]*sha256 = ")[0-9a-f]{64}`).ReplaceAllString(old, "${1}"+strings.Repeat("0", 64))
	if old == string(text) {
		t.Fatal("the lock did not change")
	}
	write(t, lockFile, old)
	r := s.run("fetch", file, "--locked", "--keyring", m.keyring)
	figure(t, "A", fmt.Sprintf("packages gone, --locked: exit %d", r.Code), "an error with recipe and package",
		r.Code != 0 && strings.Contains(r.Stderr, "zones") && strings.Contains(r.Stderr, "tzdata_2019a-0"), false)
	for i, say := range []string{"resolving this recipe again", "resolved again"} {
		r = s.run("build", file, "--keyring", m.keyring, "--progress", "plain")
		ok := r.Code == 0 && strings.Contains(r.Stderr, say)
		figure(t, "A", fmt.Sprintf("packages gone, build %d: exit %d, loud: %v", i+1, r.Code, strings.Contains(r.Stderr, say)), "builds, loudly", ok, false)
		if !ok {
			t.Log(tail(r.Stderr, 30))
		}
	}
}
