package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestOutdated: a lock of last year is outdated, updating it as the report
// says makes it current, and the recipe beside it stays on the same packages.
func TestOutdated(t *testing.T) {
	m := newMirror(t)
	file := writeRecipe(t, smallRecipe)
	second := filepath.Join(filepath.Dir(file), "clock.toml")
	write(t, second, strings.NewReplacer(`"zones"`, `"clock"`).Replace(smallRecipe))
	s := emptyState(t, "state")
	s.env = append(m.env(), "RISCV_BUILD_KEYRING="+m.keyring)
	s.ok("lock", file, second, "--keyring", m.keyring)
	s.ok("outdated", filepath.Dir(file), "--exit-code", "--keyring", m.keyring)

	lockFile := filepath.Join(filepath.Dir(file), "riscv-build.lock")
	text, err := os.ReadFile(lockFile)
	if err != nil {
		t.Fatal(err)
	}
	old := regexp.MustCompile(`(tzdata_)[0-9][^_"]*(_all)`).ReplaceAllString(string(text), "${1}2019a-0${2}")
	old = regexp.MustCompile(`(name = "tzdata", version = ")[^"]*`).ReplaceAllString(old, "${1}2019a-0")
	write(t, lockFile, old)

	r := s.run("outdated", file, second, "--json", "--exit-code", "--keyring", m.keyring)
	var report struct {
		Packages []struct {
			Name, Locked string
			Recipes      []string
		}
		Errors []any
	}
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil || r.Code != 1 || len(report.Errors) > 0 ||
		len(report.Packages) != 1 || report.Packages[0].Name != "tzdata" || report.Packages[0].Locked != "2019a-0" || len(report.Packages[0].Recipes) != 2 {
		t.Fatalf("exit %d, %v\n%s\n%s", r.Code, err, r.Stdout, tail(r.Stderr, 20))
	}
	if r := s.ok("outdated", file, second, "--keyring", m.keyring); !strings.Contains(r.Stdout, "riscv-build lock --update "+file+" "+second) {
		t.Errorf("the report does not say what to run:\n%s", r.Stdout)
	}
	s.ok("lock", "--update", file, second, "--keyring", m.keyring)
	s.ok("outdated", file, second, "--exit-code", "--keyring", m.keyring)
	if now, err := os.ReadFile(lockFile); err != nil || string(now) != string(text) {
		t.Errorf("the updated lock is not the one that was made at first (%v)", err)
	}
	m.break_("/InRelease", gone)
	if r := s.run("outdated", file, "--keyring", m.keyring); r.Code != 4 || !strings.Contains(r.Stderr, "InRelease") {
		t.Errorf("without an archive: exit %d\n%s", r.Code, tail(r.Stderr, 20))
	}
}
