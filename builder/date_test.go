package builder

import (
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// TestImageDate: an image of packages keeps its date when other recipes of the
// lock, or itself, are resolved in a newer archive to the same packages.
func TestImageDate(t *testing.T) {
	r := &recipes.Recipe{Name: "box", Debian: recipes.Debian{Suites: []string{"trixie"}}}
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	l := lock.New()
	l.PutRelease(lock.Release{Suite: "trixie", Date: day(1)})
	l.PutRelease(lock.Release{Suite: "sid", Date: day(9)})
	if got := imageDate(r, l); got != day(1) {
		t.Errorf("with an older lock it is %v", got)
	}
	box := []lock.Package{{ID: "box_1_all", Name: "box"}}
	l.PutSet(lock.Set{Name: "image/box", Date: day(1)}, box)
	l.PutRelease(lock.Release{Suite: "trixie", Date: day(2)})
	l.PutSet(lock.Set{Name: "image/box", Date: day(2)}, box)
	if got := imageDate(r, l); got != day(1) {
		t.Errorf("with the same packages it is %v", got)
	}
	l.PutSet(lock.Set{Name: "image/box", Date: day(2)}, []lock.Package{{ID: "box_2_all", Name: "box"}})
	if got := imageDate(r, l); got != day(2) {
		t.Errorf("with a new package it is %v", got)
	}
	l.PutRecipe(lock.Recipe{Name: "box", Sources: []lock.Source{{Name: "box", Date: day(5)}}})
	if got := imageDate(r, l); got != day(5) {
		t.Errorf("with a source it is %v", got)
	}
}
