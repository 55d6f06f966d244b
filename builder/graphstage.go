package builder

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
	"github.com/riscv-build/riscv-build/templates"
)

// graphs is what the graph stage gives. make makes the graph, once, where its
// result turns out not to be there; nil for an image of packages alone.
type graphs struct {
	make func() (*made, error)
}

// made is a graph, and the riscv64 packages that its result may need at run time.
type made struct {
	definition []byte
	tools      []rootLayer // the toolchain
	libraries  []rootLayer
}

// graph assembles the root filesystems a build uses and makes its graph, unless
// it is known what that gives.
func (b *Builder) graph(ctx context.Context, p *plan) (*graphs, error) {
	if p.req.Recipe.Build.Template == "" {
		return &graphs{}, nil
	}
	g := &graphs{make: sync.OnceValues(func() (*made, error) { return b.makeGraph(ctx, p) })}
	if p.known.image || p.known.artifacts {
		return g, nil
	}
	_, err := g.make()
	return g, err
}

// graphInput is what of a graph is known before anything is assembled.
func graphInput(p *plan) (graph.Input, error) {
	r := p.req.Recipe
	in := graph.Input{Recipe: r.Name, Mode: p.mode, Host: p.host, Dir: r.Build.Dir, Env: r.Build.Env, Date: p.date}
	var err error
	in.Steps, err = steps(p)
	return in, err
}

func (b *Builder) makeGraph(ctx context.Context, p *plan) (*made, error) {
	r := p.req.Recipe
	// What was thought not to be needed was not fetched.
	if _, err := b.download(ctx, p, b.sourceBlobs(p, b.goStands(ctx, p))); err != nil {
		return nil, err
	}
	if isGo(r) {
		return b.goGraph(ctx, p)
	}
	g := &made{}
	shared, own := toolchainSets(r, p.mode, p.host.Architecture)
	var tools []rootLayer
	both, bctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		tools, err = b.stack(bctx, p, stackPlan{shared: shared, own: own, spec: rootfs.Spec{Purpose: rootfs.Toolchain}})
		return err
	})
	if p.mode == graph.Cross {
		both.Go(func() (err error) {
			g.libraries, err = b.stack(bctx, p, stackPlan{shared: "sysroot" + suffix(r), own: p.librarySet(), spec: rootfs.Spec{Purpose: rootfs.Sysroot}})
			return err
		})
	}
	if err := both.Wait(); err != nil {
		return nil, err
	}
	if p.mode != graph.Cross {
		g.libraries = tools
	}
	g.tools = tools
	return g, b.marshal(ctx, p, g)
}

// marshal makes the images that the graph loads, and the graph.
func (b *Builder) marshal(ctx context.Context, p *plan, g *made) error {
	in, err := graphInput(p)
	if err != nil {
		return err
	}
	glue, err := b.glueLayer(ctx, p.mode)
	if err != nil {
		return err
	}
	if p.mode == graph.Cross {
		if in.Sysroot, err = b.rootImage(ctx, "riscv64", images(g.libraries)); err != nil {
			return err
		}
	}
	if in.Toolchain, err = b.rootImage(ctx, p.host.Architecture, append(images(g.tools), glue)); err != nil {
		return err
	}
	if in.Sources, in.Unpack, err = b.sourceImage(ctx, p); err != nil {
		return err
	}
	g.definition, err = graph.Marshal(ctx, in)
	return err
}

// stack makes the layers of a shared set and of a recipe's own on top of it.
func (b *Builder) stack(ctx context.Context, p *plan, st stackPlan) ([]rootLayer, error) {
	layers, err := p.layers(st)
	if err != nil {
		return nil, err
	}
	var out []rootLayer
	for _, s := range layers {
		l, err := b.packageLayer(ctx, p, s.set, s.Spec)
		if err != nil {
			return nil, fmt.Errorf("assembling %q for recipe %q: %w", s.set, p.req.Recipe.Name, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func images(layers []rootLayer) []image.Layer {
	var out []image.Layer
	for _, l := range layers {
		out = append(out, l.Layer)
	}
	return out
}

// stripStep removes symbols from ELF files, each inode once.
const stripStep = `
find "$DESTDIR" -type f -size +3c -printf '%i %p\n' | sort -u -k1,1 | cut -d' ' -f2- | while IFS= read -r file; do
	[ "$(head -c 4 "$file" | od -An -tx1 | tr -d ' \n')" = 7f454c46 ] || continue
	case $file in *.o | *.a) continue;; esac
	"$STRIP" --strip-unneeded "$file"
done`

func steps(p *plan) ([]graph.Step, error) {
	r := p.req.Recipe
	t, ok := templates.Lookup(r.Build.Template)
	if !ok {
		return nil, fmt.Errorf("rendering recipe %q: there is no template %q: see `riscv-build init`", r.Name, r.Build.Template)
	}
	rendered, err := t.Steps(r.Build, templates.Target{Cross: p.mode == graph.Cross, Host: graph.HostTriplet(p.host), Triplet: graph.Triplet})
	if err != nil {
		return nil, fmt.Errorf("rendering template %q of recipe %q: %w", r.Build.Template, r.Name, err)
	}
	var out []graph.Step
	for _, s := range rendered {
		out = append(out, graph.Step{Name: s.Name, Script: s.Script})
	}
	if n := len(out); n > 0 && !isGo(r) && (r.Build.Strip == nil || *r.Build.Strip) {
		out[n-1].Script += stripStep
	}
	return out, nil
}
