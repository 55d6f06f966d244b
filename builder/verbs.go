package builder

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// Graph returns the marshalled LLB graph of a request; an image of packages
// alone has none, and gives nil.
func (b *Builder) Graph(ctx context.Context, req Request) ([]byte, error) {
	p, err := b.lock(ctx, req)
	if err != nil {
		return nil, err
	}
	if p, err = b.fetch(ctx, p, newResult(req.Recipe)); err != nil {
		return nil, err
	}
	g, err := b.graph(ctx, p)
	if err != nil || g.make == nil {
		return nil, err
	}
	m, err := g.make()
	if err != nil {
		return nil, err
	}
	return m.definition, nil
}

// PatchedSources warns of bare tarballs where the archive has a source package
// of the same version, which carries its security patches.
func (b *Builder) PatchedSources(ctx context.Context, req Request) ([]recipes.Problem, error) {
	var bare []string
	for _, name := range sourceNames(req.Recipe) {
		if req.Recipe.Source[name].URL != "" {
			bare = append(bare, name)
		}
	}
	if len(bare) == 0 || req.Offline {
		return nil, nil
	}
	ix, err := b.openIndex(ctx, req, []want{{arch: "riscv64"}})
	if err != nil {
		return nil, fmt.Errorf("looking for patched sources of recipe %q: %w", req.Recipe.Name, err)
	}
	var out []recipes.Problem
	for _, name := range bare {
		dsc, ok, err := ix.NewerSource(ctx, name, sourceVersion(req.Recipe, name))
		if err != nil {
			return out, err
		}
		if ok {
			out = append(out, req.Recipe.Problem("source."+name+".url",
				fmt.Sprintf("source %q is a bare tarball, and the archive has the same version with its security patches", name),
				fmt.Sprintf("use dsc = %q", dsc)))
		}
	}
	return out, nil
}

// sourceVersion reads the version out of a tarball's name (NAME-VERSION.tar.gz,
// NAME_VERSION.orig.tar.xz); where it says none it is the recipe's.
func sourceVersion(r *recipes.Recipe, name string) string {
	base, _, ok := strings.Cut(path.Base(r.Source[name].URL), ".tar.")
	if !ok {
		return r.Version
	}
	base = strings.TrimSuffix(base, ".orig")
	if i := strings.LastIndexAny(base, "-_"); i >= 0 && i+1 < len(base) && base[i+1] >= '0' && base[i+1] <= '9' {
		return base[i+1:]
	}
	return r.Version
}
