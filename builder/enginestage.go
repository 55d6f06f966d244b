package builder

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/engine"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
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
}

// engine solves the graph, where it was not solved before, and assembles the image.
func (b *Builder) engine(ctx context.Context, p *plan, g *graphs) (*built, error) {
	k := b.imageKey(p, g)
	var e imageEntry
	if !p.req.NoCache && b.cache.get(k, &e) && e.Packages != nil {
		if img, err := b.open(ctx, e); err == nil {
			b.cfg.Display.Verbose("%s: nothing changed, image %s stands", p.req.Recipe.Name, e.Desc.Digest)
			img.cached = true
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
	e.Engine = art.engine
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
func (b *Builder) imageKey(p *plan, g *graphs) string {
	parts := []string{artifactFormat, compressFormat, digest.FromBytes(g.definition).String(), b.inputs(p), p.date.String()}
	if p.base != nil {
		parts = append(parts, p.base.img.desc.Digest.String())
	}
	return key("image", parts...)
}

// open reads an image of the store and makes sure that it is whole.
func (b *Builder) open(ctx context.Context, e imageEntry) (*built, error) {
	m, c, err := image.ReadManifest(ctx, b.store.Content(), e.Desc)
	if err != nil {
		return nil, err
	}
	for _, l := range m.Layers {
		if !b.has(ctx, l.Digest) {
			return nil, fmt.Errorf("opening image %q: layer %q is gone", e.Desc.Digest, l.Digest)
		}
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
	if g.definition == nil {
		return solved{engine: "none"}, nil
	}
	r := p.req.Recipe
	opt := image.ArtifactOptions{Paths: r.Build.Artifacts, Setuid: r.Image.Setuid, Merged: !r.OnScratch()}
	k := key("artifacts", artifactFormat, digest.FromBytes(g.definition).String(), strings.Join(opt.Paths, "\n"), strings.Join(opt.Setuid, "\n"), strconv.FormatBool(opt.Merged))
	var e artifactEntry
	if !p.req.NoCache && b.cache.get(k, &e) && b.has(ctx, e.Layer.Desc.Digest) {
		b.cfg.Display.Verbose("%s: graph unchanged, its result is in the store", r.Name)
		return solved{layer: &e.Layer, engine: e.Engine}, nil
	}
	dir, err := b.tempDir("solve")
	if err != nil {
		return solved{}, err
	}
	defer os.RemoveAll(dir)
	info, err := b.solve(ctx, p, g.definition, dir)
	if err != nil {
		return solved{}, fmt.Errorf("building recipe %q: %w", r.Name, err)
	}
	t, err := image.Artifacts(ctx, dir, opt)
	if t != nil {
		defer t.Close()
	}
	if err != nil {
		return solved{}, fmt.Errorf("building recipe %q: %w", r.Name, err)
	}
	e.Layer, err = image.PutTar(ctx, b.store.Content(), "artifacts of "+r.Name+" "+r.Version, func(w io.Writer) error { return t.Write(w, p.date) })
	if err != nil {
		return solved{}, err
	}
	e.Engine = info.Name
	return solved{layer: &e.Layer, engine: info.Name, worker: info.Worker}, b.cache.put(k, e)
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
