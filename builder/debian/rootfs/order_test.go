package rootfs

import (
	"testing"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

func TestReplacesRelation(t *testing.T) {
	victim := &info{pkg: lock.Package{Name: "old", Arch: "riscv64"}, fields: paragraph{{"Version", "2.0-1"}}}
	for text, want := range map[string]bool{
		"":                            false,
		"old":                         true,
		"older":                       false,
		"other, old (<< 2.1)":         true,
		"old (<< 2.0-1)":              false,
		"old (< 2.0-1)":               true,
		"old (> 2.0-1)":               true,
		"old (= 2.0-1)":               true,
		"old:amd64":                   false,
		"old:any | other":             true,
		"broken (~~ 1), old (>= 1.9)": true,
		"broken (~~ 1), other (>= 1)": false,
	} {
		i := &info{fields: paragraph{{"Replaces", text}}}
		if got := i.replaces(victim); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
