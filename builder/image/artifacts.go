package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// ArtifactOptions say what of an install tree enters the image.
type ArtifactOptions struct {
	Paths  []string // absolute; a directory stands for all below it; empty: everything
	Setuid []string // paths that keep their setuid or setgid bit
	// Merged: the image has /bin, /sbin and /lib as links into /usr, so what
	// was installed there must land behind the links, not replace them.
	Merged bool
}

// Artifacts reads the tree that a graph exported as an OCI layout in dir and
// keeps what the options name. An artifact that is not there is an error.
func Artifacts(ctx context.Context, dir string, opt ArtifactOptions) (*Tree, error) {
	store, layers, err := exported(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("reading the result of the graph: %w", err)
	}
	full := NewTree()
	for _, l := range layers {
		if err := full.AddLayer(ctx, store, l, nil); err != nil {
			return full, err
		}
	}
	out := &Tree{entries: map[string]*Entry{}, closers: full.closers}
	for _, p := range full.Paths() {
		e := full.entries[p]
		if !wanted(p, opt.Paths) || (opt.Merged && special(p, e)) {
			continue
		}
		e.Header.Name = merged(p, opt.Merged)
		if e.Header.Typeflag == tar.TypeLink {
			if !wanted(e.Header.Linkname, opt.Paths) {
				e = full.resolveLink(e)
			}
			e.Header.Linkname = merged(e.Header.Linkname, opt.Merged)
		}
		if !contains(opt.Setuid, "/"+e.Header.Name) {
			e.Header.Mode &= 0o1777
		}
		out.entries[e.Header.Name] = e
	}
	return out, out.missing(opt)
}

func (t *Tree) missing(opt ArtifactOptions) error {
	var absent []string
	for _, a := range opt.Paths {
		found := false
		a = merged(clean(a), opt.Merged)
		for p := range t.entries {
			if a == "" || p == a || strings.HasPrefix(p, a+"/") {
				found = true
				break
			}
		}
		if !found {
			absent = append(absent, "/"+a)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("collecting artifacts: the install step made no %s: correct build.artifacts or the install step", strings.Join(absent, ", "))
	}
	return nil
}

// resolveLink turns a hard link whose target is left out into the file itself.
func (t *Tree) resolveLink(e *Entry) *Entry {
	target, ok := t.entries[e.Header.Linkname]
	if !ok {
		return e
	}
	c := *target
	c.Header.Name = e.Header.Name
	return &c
}

func wanted(p string, paths []string) bool {
	if len(paths) == 0 {
		return true
	}
	for _, a := range paths {
		a = clean(a)
		if a == "" || p == a || strings.HasPrefix(p, a+"/") {
			return true
		}
	}
	return false
}

// special: the base gives these directories a mode of their own, and one that
// an install step made on its way must not take it from them.
func special(p string, e *Entry) bool {
	plain := e.Header.Typeflag == tar.TypeDir && e.Header.Mode&0o7777 == 0o755 && e.Header.Uid == 0 && e.Header.Gid == 0
	return plain && contains([]string{"tmp", "root", "var/tmp", "var/mail", "var/local"}, p)
}

func merged(p string, on bool) string {
	if !on {
		return p
	}
	for _, d := range []string{"bin", "sbin", "lib", "lib64"} {
		if p == d || strings.HasPrefix(p, d+"/") {
			return "usr/" + p
		}
	}
	return p
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}

// exported opens an OCI layout that holds one image and returns its layers.
func exported(ctx context.Context, dir string) (content.Store, []ocispec.Descriptor, error) {
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, nil, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(b, &idx); err != nil {
		return nil, nil, fmt.Errorf("parsing %q: %w", ocispec.ImageIndexFile, err)
	}
	store, err := local.NewStore(dir)
	if err != nil {
		return nil, nil, err
	}
	for len(idx.Manifests) == 1 && idx.Manifests[0].MediaType == ocispec.MediaTypeImageIndex {
		d := idx.Manifests[0]
		idx = ocispec.Index{}
		if err := readJSON(ctx, store, d, &idx); err != nil {
			return nil, nil, err
		}
	}
	if len(idx.Manifests) != 1 {
		return nil, nil, fmt.Errorf("expected one manifest in %q, found %d", ocispec.ImageIndexFile, len(idx.Manifests))
	}
	m, _, err := ReadManifest(ctx, store, idx.Manifests[0])
	if err != nil {
		return nil, nil, err
	}
	for _, l := range m.Layers {
		if l.MediaType != ocispec.MediaTypeImageLayer {
			return nil, nil, fmt.Errorf("layer %q has media type %q, wanted %q", l.Digest, l.MediaType, ocispec.MediaTypeImageLayer)
		}
	}
	return store, m.Layers, nil
}
