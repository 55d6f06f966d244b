package builder

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/builder/debian/rootfs"
	"github.com/riscv-build/riscv-build/builder/graph"
	"github.com/riscv-build/riscv-build/builder/image"
)

// known is what the caches tell of a build before anything is downloaded for it.
type known struct {
	build     string // key of what is compiled, of recipe and lock alone; "": nothing is
	image     bool   // the image stands
	artifacts bool   // the result of the compiler stands, and with it which libraries it needs
	libraries []string
}

// recall finds out what is known of a build. Nothing is known of one that is to
// be made anew.
func (b *Builder) recall(ctx context.Context, p *plan) error {
	p.known = known{}
	p.used.heavy = p.compilerKeys()
	if p.req.Recipe.Build.Template != "" {
		k, err := b.buildKey(ctx, p)
		if err != nil {
			return err
		}
		p.known.build = k
	}
	if p.req.NoCache {
		return nil
	}
	var img imageEntry
	p.known.image = b.cache.get(b.imageKey(p), &img) && b.wholeImage(ctx, img.Desc)
	if p.known.build == "" {
		p.known.artifacts = true // there are none
		return nil
	}
	var art artifactEntry
	if !b.cache.get(p.known.build, &art) || !b.reachable(art.Layer.Desc.Digest) {
		return nil
	}
	k, err := b.needsKey(p, art.Layer)
	if err != nil {
		return nil //nolint:nilerr // the stage that uses the set says what is wrong with it
	}
	var needs needsEntry
	if b.cache.get(k, &needs) && (needs.Files == nil || b.reachable(needs.Files.Desc.Digest)) {
		p.known.artifacts, p.known.libraries = true, needs.Packages
	}
	return nil
}

// wholeImage tells whether an image is in the store, or in a cache.
func (b *Builder) wholeImage(ctx context.Context, desc ocispec.Descriptor) bool {
	if !b.store.Has(ctx, desc.Digest) {
		return b.reachable(desc.Digest) // a cache holds it whole
	}
	var m ocispec.Manifest
	if readDocument(ctx, b.store.Content(), desc, &m) != nil {
		return false
	}
	digests := []digest.Digest{m.Config.Digest}
	for _, l := range m.Layers {
		digests = append(digests, l.Digest)
	}
	return b.reachable(digests...)
}

// buildKey names the result of a compilation by recipe and lock alone: where it
// is known, no tool chain is downloaded or assembled. It is the digest of the
// graph in which root filesystems are named by what they would be made of.
func (b *Builder) buildKey(ctx context.Context, p *plan) (string, error) {
	r := p.req.Recipe
	in, err := graphInput(p)
	if err != nil {
		return "", err
	}
	glue, err := b.glueLayer(ctx, p.mode)
	if err != nil {
		return "", err
	}
	_, own := toolchainSets(r, p.mode, p.host.Architecture)
	tools, err := rootKey(p, own, rootfs.Toolchain)
	if err != nil {
		return "", err
	}
	in.Toolchain = digest.FromString(tools + glue.DiffID.String())
	if p.mode == graph.Cross {
		sysroot, err := rootKey(p, "sysroot/"+r.Name, rootfs.Sysroot)
		if err != nil {
			return "", err
		}
		in.Sysroot = digest.FromString(sysroot)
	}
	if len(r.Source) > 0 || len(r.Build.Patches) > 0 {
		if in.Sources, err = sourceKey(p); err != nil {
			return "", err
		}
	}
	def, err := graph.Marshal(ctx, in)
	if err != nil {
		return "", err
	}
	return key("build", append(artifactParts(p), b.cfg.Version, digest.FromBytes(def).String())...), nil
}

// artifactParts decide what of an install tree becomes which layer.
func artifactParts(p *plan) []string {
	opt := artifactOptions(p.req.Recipe)
	return []string{artifactFormat, strings.Join(opt.Paths, "\n"), strings.Join(opt.Setuid, "\n"), strconv.FormatBool(opt.Merged)}
}

// rootKey names the files of a root filesystem, in however many layers they are.
func rootKey(p *plan, set string, purpose rootfs.Purpose) (string, error) {
	pkgs, err := p.packages(set)
	if err != nil {
		return "", err
	}
	return rootfs.Spec{Purpose: purpose, Packages: pkgs}.Key(), nil
}

// sourceKey names the sources of a recipe: what recipe and lock say of them,
// and what lies beside the recipe.
func sourceKey(p *plan) (digest.Digest, error) {
	r := p.req.Recipe
	sum := sha256.New()
	locked, _ := p.lock.Recipe(r.Name)
	doc, err := json.Marshal([]any{r.Source, locked.Sources, r.Build.Patches})
	if err != nil {
		return "", fmt.Errorf("naming the sources of recipe %q: %w", r.Name, err)
	}
	sum.Write(doc)
	t := image.NewTree()
	defer t.Close()
	for _, name := range sourceNames(r) {
		if dir := r.Source[name].Dir; dir != "" {
			if err := addDir(t, r.Dir, dir, name+"/tree"); err != nil {
				return "", fmt.Errorf("adding source %q of recipe %q: %w", name, r.Name, err)
			}
		}
	}
	if err := t.Write(sum, p.date); err != nil {
		return "", fmt.Errorf("naming the sources of recipe %q: %w", r.Name, err)
	}
	for _, from := range r.Build.Patches {
		data, err := fs.ReadFile(r.Dir, path.Clean(from))
		if err != nil {
			return "", fmt.Errorf("reading patch %q of recipe %q: %w", from, r.Name, err)
		}
		fmt.Fprintf(sum, "%d\n%s", len(data), data)
	}
	return digest.NewDigest(digest.SHA256, sum), nil
}

// librarySet is the locked set that runtime libraries of the artifacts come from.
func (p *plan) librarySet() string {
	if p.mode == graph.Cross {
		return "sysroot/" + p.req.Recipe.Name
	}
	_, own := toolchainSets(p.req.Recipe, p.mode, p.host.Architecture)
	return own
}

// needsEntry is what the cache keeps of the libraries that artifacts need: the
// packages that ship them or, on an empty base, a layer of the single files.
type needsEntry struct {
	Packages []string     `json:"packages,omitempty"`
	Files    *image.Layer `json:"files,omitempty"`
}

// needsKey names it by the artifacts and by where libraries are looked for.
func (b *Builder) needsKey(p *plan, art image.Layer) (string, error) {
	root, err := rootKey(p, p.librarySet(), rootfs.Sysroot)
	if err != nil {
		return "", err
	}
	parts := []string{artifactFormat, art.DiffID.String(), p.req.Recipe.Image.Base, root, p.date.String()}
	if p.base != nil {
		parts = append(parts, p.base.img.desc.Digest.String()) // it may have some
	}
	return key("needs", parts...), nil
}
