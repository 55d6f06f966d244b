package builder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/recipes"
)

// built is a finished image in the content store.
type built struct {
	desc     ocispec.Descriptor
	manifest *ocispec.Manifest
	config   *ocispec.Image
	engine   string
	packages []string // IDs of all that are in it
	worker   string   // of the engine, if it was needed now
	cached   bool
}

// imageEntry is what the cache keeps of an image.
type imageEntry struct {
	Desc   ocispec.Descriptor `json:"desc"`
	Engine string             `json:"engine"`
	// Packages are the IDs of all that are in the image; nil in an entry of an older version.
	Packages []string `json:"packages"`
	Uses   []string           `json:"uses,omitempty"` // entries that it was made of
}

// engine solves the graph, where it was not solved before, and assembles the image.
func (b *Builder) engine(ctx context.Context, p *plan, g *graphs) (*built, error) {
	k := b.imageKey(p)
	defer p.used.add(k)
	var e imageEntry
	if !p.req.NoCache && b.cache.get(k, &e) && e.Packages != nil {
		if img, err := b.open(ctx, e); err == nil {
			b.cfg.Display.Verbose("%s: nothing changed, image %s stands", p.req.Recipe.Name, e.Desc.Digest)
			img.cached = true
			p.used.add(e.Uses...)
			return img, nil
		}
	}
	wait := b.prepareBase(ctx, p)
	art, err := b.artifacts(ctx, p, g)
	wait()
	if err != nil {
		return nil, err
	}
	if e, err = b.assemble(ctx, p, g, art.layer); err != nil {
		return nil, err
	}
	e.Engine, e.Uses = art.engine, p.used.list()
	if err := b.cache.put(k, e); err != nil {
		return nil, err
	}
	img, err := b.open(ctx, e)
	if err != nil {
		return nil, err
	}
	img.worker = art.worker
	return img, nil
}

// imageKey is a digest over everything that decides an image.
func (b *Builder) imageKey(p *plan) string {
	parts := []string{artifactFormat, compressFormat, p.known.build, b.inputs(p), p.date.String()}
	if p.base != nil {
		parts = append(parts, p.base.img.desc.Digest.String())
	}
	return key("image", parts...)
}

// open reads an image of the store and makes sure that it is whole.
func (b *Builder) open(ctx context.Context, e imageEntry) (*built, error) {
	if err := b.bringManifest(ctx, e.Desc); err != nil {
		return nil, fmt.Errorf("opening image %q: %w", e.Desc.Digest, err)
	}
	m, c, err := image.ReadManifest(ctx, b.store.Content(), e.Desc)
	if err != nil {
		return nil, err
	}
	var layers []digest.Digest
	for _, l := range m.Layers {
		layers = append(layers, l.Digest)
	}
	if !b.has(ctx, layers...) {
		return nil, fmt.Errorf("opening image %q: one of its layers is gone", e.Desc.Digest)
	}
	return &built{desc: e.Desc, manifest: m, config: c, engine: e.Engine, packages: e.Packages}, nil
}

// artifactFormat changes when the same install tree gives another layer.
const artifactFormat = "3"

// artifactEntry is what the cache keeps of a solved graph.
type artifactEntry struct {
	Layer  image.Layer `json:"layer"`
	Engine string      `json:"engine"`
}

// solved is what a graph gave.
type solved struct {
	layer  *image.Layer // nil: there is no graph
	engine string
	worker string // "" if the graph was solved by an earlier run
}

// artifacts solves the graph and gives the layer of what its install step made.
func (b *Builder) artifacts(ctx context.Context, p *plan, g *graphs) (solved, error) {
	if g.make == nil {
		return solved{engine: "none"}, nil
	}
	r := p.req.Recipe
	k := p.known.build
	defer p.used.add(k)
	var e artifactEntry
	if !p.req.NoCache && b.cache.get(k, &e) && b.has(ctx, e.Layer.Desc.Digest) {
		b.cfg.Display.Verbose("%s: graph unchanged, its result is in the store", r.Name)
		return solved{layer: &e.Layer, engine: e.Engine}, nil
	}
	m, err := g.make()
	if err != nil {
		return solved{}, err
	}
	// Another program may have compiled the same: the graph itself tells.
	same := key("artifacts", append(artifactParts(p), digest.FromBytes(m.definition).String())...)
	if !p.req.NoCache && b.cache.get(same, &e) && b.has(ctx, e.Layer.Desc.Digest) {
		b.cfg.Display.Verbose("%s: graph unchanged, its result is in the store", r.Name)
		return solved{layer: &e.Layer, engine: e.Engine}, b.cache.put(k, e)
	}
	s, err := b.compile(ctx, p, m)
	if err != nil {
		return s, err
	}
	e = artifactEntry{Layer: *s.layer, Engine: s.engine}
	if err := b.cache.put(same, e); err != nil {
		return s, err
	}
	return s, b.cache.put(k, e)
}

// artifactOptions say what of the install tree enters the image.
func artifactOptions(r *recipes.Recipe) image.ArtifactOptions {
	return image.ArtifactOptions{Paths: r.Build.Artifacts, Setuid: r.Image.Setuid, Merged: !r.OnScratch()}
}

// compile solves the graph and makes a layer of the result.
func (b *Builder) compile(ctx context.Context, p *plan, m *made) (solved, error) {
	r := p.req.Recipe
	dir, err := b.tempDir("solve")
	if err != nil {
		return solved{}, err
	}
	defer os.RemoveAll(dir)
	info, err := b.solve(ctx, p, m.definition, dir)
	if err != nil {
		return solved{}, fmt.Errorf("building recipe %q: %w", r.Name, err)
	}
	t, err := image.Artifacts(ctx, dir, artifactOptions(r))
	if t != nil {
		defer t.Close()
	}
	if err != nil {
		return solved{}, fmt.Errorf("building recipe %q: %w", r.Name, err)
	}
	layer, err := image.PutTar(ctx, b.store.Content(), "artifacts of "+r.Name+" "+r.Version, func(w io.Writer) error { return t.Write(w, p.date) })
	return solved{layer: &layer, engine: info.Name, worker: info.Worker}, err
}

// solve solves a graph into a directory, and tells by which engine.
func (b *Builder) solve(ctx context.Context, p *plan, def []byte, out string) (engine.Info, error) {
	eng, err := b.cfg.Engine(ctx)
	if err != nil {
		return engine.Info{}, err
	}
	info, err := eng.Info(ctx)
	if err != nil {
		return info, err
	}
	jobs := b.jobs(info)
	b.cfg.Display.Verbose("%s: engine %s, worker %s, %s; riscv64 code by %s; %s jobs", p.req.Recipe.Name, info.Name, info.Worker,
		info.Platform.Architecture, info.Emulator, cmp.Or(jobs, "as many as it has processors"))
	progress := b.cfg.Display.Progress(p.req.Recipe.Name)
	if c, ok := progress.(io.Closer); ok {
		defer c.Close() // notices wait behind a live display
	}
	secrets := map[string][]byte{}
	if jobs != "" {
		secrets[graph.JobsSecret] = []byte(jobs)
	}
	if p.req.NoCache {
		secrets[graph.RecompileSecret] = []byte("yes")
	}
	return info, eng.Solve(ctx, engine.Job{
		Name: p.req.Recipe.Name, Definition: def, Store: b.store.Content(), Output: out, NoCache: p.req.NoCache,
		Secrets: secrets, Progress: progress,
	})
}

// tempDir makes a scratch directory in the state directory: on the same disk,
// and cleared at the next start after a kill.
func (b *Builder) tempDir(name string) (string, error) {
	base := filepath.Join(b.cfg.StateDir, "tmp")
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", fmt.Errorf("making a scratch directory: %w", err)
	}
	return os.MkdirTemp(base, name+"-")
}
