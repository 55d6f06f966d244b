package builder

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/debian"
	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/fetch"
	"github.com/riscv-build/riscv-build/builder/fetch/git"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// fetch downloads what the build needs and the store does not have. Where
// packages have left every server, the set is resolved anew into a lock of the
// state directory, loudly, unless the lock is to be kept to.
func (b *Builder) fetch(ctx context.Context, p *plan, r *Result) (*plan, error) {
	if err := b.recall(ctx, p); err != nil {
		return nil, err
	}
	stats, err := b.download(ctx, p, p.neededBlobs(ctx, b))
	r.DownloadedBytes += stats.Downloaded
	var gone *fetch.GoneError
	if err == nil || !errors.As(err, &gone) {
		return p, err
	}
	if p.req.Locked {
		return nil, p.mayNotResolve(err)
	}
	again, err := b.relock(ctx, p, gone)
	if err != nil {
		return nil, err
	}
	if err := b.recall(ctx, again); err != nil {
		return nil, err
	}
	stats, err = b.download(ctx, again, again.neededBlobs(ctx, b))
	r.DownloadedBytes += stats.Downloaded
	return again, err
}

func (p *plan) mayNotResolve(err error) error {
	return fmt.Errorf("fetching the packages of recipe %q: the lock names what no mirror and no snapshot has any more, and --locked forbids to resolve it again: %w", p.req.Recipe.Name, err)
}

// Fetch downloads everything a later offline build of the request needs.
func (b *Builder) Fetch(ctx context.Context, req Request) (fetch.Stats, error) {
	var stats fetch.Stats
	if below, ok := baseRequest(req); ok {
		var err error
		if stats, err = b.Fetch(ctx, below); err != nil {
			return stats, fmt.Errorf("fetching the base of recipe %q: %w", req.Recipe.Name, err)
		}
	}
	own, err := b.fetchOne(ctx, req)
	stats.Downloaded += own.Downloaded
	stats.Blobs += own.Blobs
	stats.Cached += own.Cached
	return stats, err
}

func (b *Builder) fetchOne(ctx context.Context, req Request) (fetch.Stats, error) {
	p, err := b.lock(ctx, req)
	if err != nil {
		return fetch.Stats{}, err
	}
	blobs, err := p.allBlobs(b)
	if err != nil {
		return fetch.Stats{}, err
	}
	stats, err := b.download(ctx, p, blobs)
	var gone *fetch.GoneError
	if errors.As(err, &gone) {
		if req.Locked {
			return stats, p.mayNotResolve(err)
		}
		if p, err = b.relock(ctx, p, gone); err != nil {
			return stats, err
		}
		if blobs, err = p.allBlobs(b); err != nil {
			return stats, err
		}
		var more fetch.Stats
		more, err = b.download(ctx, p, blobs)
		stats.Downloaded += more.Downloaded
		stats.Blobs += more.Blobs
	}
	return stats, err
}

func (b *Builder) download(ctx context.Context, p *plan, blobs []fetch.Blob) (fetch.Stats, error) {
	opt := b.cfg.Fetch
	opt.Offline = p.req.Offline
	return b.store.Fetch(ctx, blobs, opt)
}

// neededBlobs leaves out the packages of layers that stand already, and all that
// what is known makes superfluous.
func (p *plan) neededBlobs(ctx context.Context, b *Builder) []fetch.Blob {
	need := map[string]lock.Package{}
	for _, st := range p.stacks() {
		if p.superfluous(st) {
			continue
		}
		specs, err := p.layers(st)
		if err != nil {
			continue // the stage that uses the set says what is wrong with it
		}
		for _, s := range specs {
			var l rootLayer
			if b.cache.get(layerKey(s.Spec), &l) && b.reachable(l.Layer.Desc.Digest, l.Contents) {
				continue
			}
			for _, pkg := range s.Packages {
				need[pkg.ID] = pkg
			}
		}
	}
	blobs := b.packageBlobs(p, need)
	if p.known.image || p.known.artifacts {
		return blobs
	}
	return append(blobs, b.sourceBlobs(p, b.goStands(ctx, p))...)
}

// superfluous tells of a root filesystem that the build will not look at.
func (p *plan) superfluous(st stackPlan) bool {
	switch {
	case st.probe():
		return !probes(p.req.Recipe)
	case st.spec.Purpose == rootfs.Runtime:
		return p.known.image
	}
	return p.known.image || p.known.artifacts
}

// allBlobs is everything, layers or not.
func (p *plan) allBlobs(b *Builder) ([]fetch.Blob, error) {
	need := map[string]lock.Package{}
	for _, st := range p.stacks() {
		for _, set := range []string{st.shared, st.own} {
			pkgs, err := p.packages(set)
			if err != nil {
				return nil, err
			}
			for _, pkg := range pkgs {
				need[pkg.ID] = pkg
			}
		}
	}
	return append(b.packageBlobs(p, need), b.sourceBlobs(p, nil)...), nil
}

// stackPlan names the sets of one root filesystem.
type stackPlan struct {
	shared, own string
	spec        rootfs.Spec
	onTop       bool // what is shared is another image's, and in its layers
}

// setLayer is a layer of packages, and the name of the set that it is made of.
type setLayer struct {
	rootfs.Spec
	set string
}

// layers are those of a root filesystem, the shared one first.
func (p *plan) layers(st stackPlan) ([]setLayer, error) {
	low, err := p.packages(st.shared)
	if err != nil {
		return nil, err
	}
	all, err := p.packages(st.own)
	if err == nil && st.spec.Purpose == rootfs.Runtime {
		all, err = p.withLibraries(all, p.known.libraries)
	}
	if err != nil {
		return nil, err
	}
	specs := stacked
	if st.onTop {
		specs = onTopOf
	}
	var out []setLayer
	for i, s := range specs(low, all, st.spec) {
		l := setLayer{s, st.shared}
		if i > 0 || st.onTop {
			l.set = st.own
		}
		out = append(out, l)
	}
	return out, nil
}

// probe tells whether it is what tests connect with.
func (st stackPlan) probe() bool { return strings.HasPrefix(st.own, "probe/") }

// stacks are the root filesystems of a build.
func (p *plan) stacks() []stackPlan {
	r := p.req.Recipe
	probe := "probe/" + p.host.Architecture + suffix(r)
	out := []stackPlan{{shared: probe, own: probe, spec: rootfs.Spec{Purpose: rootfs.Toolchain}}}
	if r.Build.Template != "" {
		shared, own := toolchainSets(r, p.mode, p.host.Architecture)
		out = append(out, stackPlan{shared: shared, own: own, spec: rootfs.Spec{Purpose: rootfs.Toolchain}})
		if p.mode == graph.Cross && !isGo(r) {
			out = append(out, stackPlan{shared: "sysroot" + suffix(r), own: "sysroot/" + r.Name, spec: rootfs.Spec{Purpose: rootfs.Sysroot}})
		}
	}
	img := "image/" + r.Name
	spec := rootfs.Spec{Purpose: rootfs.Runtime, Exclude: r.Image.Exclude, Setuid: r.Image.Setuid, Unpacked: r.Image.MaintainerScripts}
	if r.Base() == nil && r.OnScratch() {
		return append(out, stackPlan{shared: img, own: img, spec: spec})
	}
	return append(out, stackPlan{shared: baseSet(r), own: img, spec: spec, onTop: r.Base() != nil})
}

func (b *Builder) packageBlobs(p *plan, need map[string]lock.Package) []fetch.Blob {
	var out []fetch.Blob
	mirrors := b.mirrors(p.req.Recipe)
	for _, pkg := range need {
		out = append(out, fetch.Blob{
			Name: pkg.ID, Digest: digest.NewDigestFromEncoded(digest.SHA256, pkg.SHA256), Size: pkg.Size,
			URLs: mirrors.URLs(pkg.Archive, pkg.Path),
			More: b.lastResort(mirrors, func(ctx context.Context, s debian.Snapshot) ([]string, error) { return s.SnapshotURLs(ctx, pkg) }),
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out
}

// sourceBlobs are the files of the sources, but of those whose layers stand.
func (b *Builder) sourceBlobs(p *plan, stand map[string]bool) []fetch.Blob {
	rec, _ := p.lock.Recipe(p.req.Recipe.Name)
	var out []fetch.Blob
	for _, s := range rec.Sources {
		for _, f := range s.Files {
			if stand[s.Name] || s.Name == goToolchainSource && !p.runs(f) {
				continue
			}
			if strings.HasPrefix(f.URL, git.Scheme) {
				out = append(out, b.gitBlob(p.req.Recipe, s.Name, f))
				continue
			}
			out = append(out, b.sourceBlob(p.req.Recipe, f))
		}
	}
	return out
}

// ensure makes sure that packages are in the store although their layer was
// thought to stand, for instance after a prune.
func (b *Builder) ensure(ctx context.Context, p *plan, pkgs []lock.Package) error {
	need := map[string]lock.Package{}
	for _, pkg := range pkgs {
		need[pkg.ID] = pkg
	}
	_, err := b.download(ctx, p, b.packageBlobs(p, need))
	return err
}
