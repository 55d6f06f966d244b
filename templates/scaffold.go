package templates

import (
	"embed"
	"fmt"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

//go:embed starter
var starter embed.FS

// Scaffold returns a first recipe for a template and what lies beside it, by
// path. The recipe is correct as it is; its comments say what to change.
func Scaffold(template, name string) (map[string][]byte, error) {
	t, ok := Lookup(template)
	if !ok {
		return nil, fmt.Errorf("starting recipe %q: there is no template %q: use one of %s", name, template, strings.Join(Names(), ", "))
	}
	if !recipes.ValidName(name) {
		return nil, fmt.Errorf("starting recipe %q: this cannot be part of an image's name: use small letters and digits, with \".\", \"_\" or \"-\" between them", name)
	}
	fill := func(text string) string { return strings.ReplaceAll(text, "@NAME@", name) }
	files := map[string][]byte{}
	for from, to := range t.files {
		text, err := starter.ReadFile("starter/" + from)
		if err != nil {
			return nil, fmt.Errorf("starting recipe %q: %w: reinstall riscv-build", name, err)
		}
		files[fill(to)] = []byte(fill(string(text)))
	}
	return files, nil
}
