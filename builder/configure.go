package builder

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
)

// configured runs dpkg's own configuration of the recipe's packages on top of
// unpacked layers (`maintainer_scripts = true`) and adds what it changed.
func (b *Builder) configured(ctx context.Context, p *plan, layers []image.Layer) ([]image.Layer, error) {
	root, err := b.rootImage(ctx, "riscv64", layers)
	if err != nil {
		return nil, err
	}
	def, err := graph.Configure(ctx, p.req.Recipe.Name, root, p.date)
	if err != nil {
		return nil, err
	}
	k := key("configured", digest.FromBytes(def).String())
	p.used.add(k)
	var l image.Layer
	if !p.req.NoCache && b.cache.get(k, &l) && b.has(ctx, l.Desc.Digest) {
		return append(layers, l), nil
	}
	dir, err := b.tempDir("configure")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if _, err := b.solve(ctx, p, def, dir); err != nil {
		return nil, fmt.Errorf("running the maintainer scripts of recipe %q: %w", p.req.Recipe.Name, err)
	}
	t, err := image.Artifacts(ctx, dir, image.ArtifactOptions{Setuid: p.req.Recipe.Image.Setuid})
	if t != nil {
		defer t.Close()
	}
	if err != nil {
		return nil, err
	}
	l, err = image.PutTar(ctx, b.store.Content(), "configuration of packages", func(w io.Writer) error { return t.Write(w, p.date) })
	if err != nil {
		return nil, err
	}
	return append(layers, l), b.cache.put(k, l)
}
