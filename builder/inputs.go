package builder

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"

	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes"
	"github.com/riscv-build/riscv-build/recipes/lock"
	"github.com/riscv-build/riscv-build/templates"
)

// InputsAnnotation of an image's manifest holds the digest of what the image
// was made from.
const InputsAnnotation = "io.riscv-build.inputs"

// inputs is the input digest of the plan's image.
func (b *Builder) inputs(p *plan) string {
	base := ""
	if p.base != nil {
		base = p.base.img.manifest.Annotations[InputsAnnotation]
	}
	return inputDigest(p.req.Recipe, p.index, base, b.cfg.Version)
}

// inputDigest tells by recipe, lock and program alone whether an image would
// be another one: it is computed without a download, and is the same on a PC
// and on the board, because the tool chains of all build hosts are in it. base
// is the input digest of the image that it is built on, if that is a recipe's.
func inputDigest(r *recipes.Recipe, x *lock.Index, base, version string) string {
	sum := sha256.New()
	fmt.Fprintln(sum, r.InputDigest(version), base)
	digestTemplate(sum, r)
	for _, set := range decisiveSets(r) {
		d, _ := x.SetDigest(set) // a lock without the set is stale, and nothing is built with it
		fmt.Fprintf(sum, "set %s %s\n", set, d)
	}
	rec, _ := x.Recipe(r.Name)
	for _, s := range rec.Sources {
		fmt.Fprintf(sum, "source %q %d\n", s.Name, s.Date.Unix())
		for _, f := range s.Files {
			fmt.Fprintf(sum, "  %s\n", f.SHA256)
		}
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// digestTemplate adds what a template makes of the recipe, for a cross compiler and for
// a native one.
func digestTemplate(w io.Writer, r *recipes.Recipe) {
	t, ok := templates.Lookup(r.Build.Template)
	if !ok {
		return
	}
	fmt.Fprintf(w, "tools %q\n", t.Tools())
	for _, cross := range []bool{true, false} {
		steps, err := t.Steps(r.Build, templates.Target{Cross: cross, Host: "HOST", Triplet: graph.Triplet})
		if err != nil {
			fmt.Fprintf(w, "error %v\n", err)
		}
		for _, s := range steps {
			fmt.Fprintf(w, "step %q %q\n", s.Name, s.Script)
		}
	}
}

// decisiveSets are the sets that an image, or how it was tested, depends on. A
// shared tool chain is not among them: a recipe's own set holds all of it that
// the recipe uses.
func decisiveSets(r *recipes.Recipe) []string {
	shared := map[string]bool{}
	for _, h := range hosts {
		shared["probe/"+h+suffix(r)] = !probes(r)
	}
	all := wants(r)
	for _, w := range all {
		shared[w.below] = true
	}
	var names []string
	for _, w := range all {
		if !shared[w.set] {
			names = append(names, w.set)
		}
	}
	return names
}

// probes tells whether a test of the recipe connects with the image.
func probes(r *recipes.Recipe) bool {
	for _, t := range r.Tests {
		if t.HTTP != nil || t.TCP != nil {
			return true
		}
	}
	return false
}
