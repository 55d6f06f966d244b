package builder

import (
	"context"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/check"
	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/image"
)

// check reads the image's bytes and runs the recipe's tests on it.
func (b *Builder) check(ctx context.Context, p *plan, img *built, r *Result) error {
	report, err := check.Image(ctx, b.store.Content(), img.desc, b.checkOptions(p))
	if err != nil {
		return fmt.Errorf("checking the image of recipe %q: %w", p.req.Recipe.Name, err)
	}
	for _, f := range report.Findings {
		if f.Severity == check.SeverityNote {
			b.cfg.Display.Verbose("%s: %s: %s", p.req.Recipe.Name, f.Path, f.What)
		}
	}
	if err := report.Err(); err != nil {
		return fmt.Errorf("checking the image of recipe %q: %w", p.req.Recipe.Name, err)
	}
	return b.test(ctx, p, img, r)
}

func (b *Builder) checkOptions(p *plan) check.Options {
	rec := p.req.Recipe
	return check.Options{Profile: rec.Check.Profile, Allow: allowed(rec), Setuid: setuid(rec), Cache: noted{b.cache, p.used}}
}

func (b *Builder) test(ctx context.Context, p *plan, img *built, r *Result) error {
	rec := p.req.Recipe
	run := check.TestRun{
		Recipe: rec.Name, Tests: rec.Tests, Image: img.desc, Config: *img.config, Store: b.store.Content(),
		Engine: b.cfg.Engine, Emulator: func() string { return p.where.Emulator }, Cache: noted{b.cache, p.used}, NoCache: p.req.NoCache,
	}
	if probes(rec) {
		probe, err := b.probeImage(ctx, p)
		if err != nil {
			return err
		}
		run.Probe = &probe
	}
	results, err := check.RunTests(ctx, run)
	for _, t := range results {
		r.Tests = append(r.Tests, TestResult{Name: t.Name, OK: t.OK, Cached: t.Cached, Seconds: round(t.Duration), Detail: t.Detail})
		b.cfg.Display.Verbose("%s: test %q: ok %v, cached %v", rec.Name, t.Name, t.OK, t.Cached)
	}
	return err
}

// probeImage is a root filesystem of the host's architecture with the program
// that probes connect with.
func (b *Builder) probeImage(ctx context.Context, p *plan) (ocispec.Descriptor, error) {
	pkgs, err := p.packages("probe/" + p.host.Architecture + suffix(p.req.Recipe))
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	l, err := b.packageLayer(ctx, p, "probe", rootfs.Spec{Packages: pkgs, Purpose: rootfs.Toolchain})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest, err := b.rootImage(ctx, p.host.Architecture, []image.Layer{l.Layer})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return b.descriptor(ctx, manifest)
}

// descriptor completes the descriptor of a manifest in the store.
func (b *Builder) descriptor(ctx context.Context, d digest.Digest) (ocispec.Descriptor, error) {
	info, err := b.store.Content().Info(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("looking up manifest %q: %w", d, err)
	}
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: info.Size}, nil
}

// references are the names that an image is pushed under.
func references(targets []string, repository string, tags []string) []string {
	var refs []string
	for _, t := range targets {
		for _, tag := range tags {
			refs = append(refs, strings.TrimSuffix(t, "/")+"/"+repository+":"+tag)
		}
	}
	return refs
}
