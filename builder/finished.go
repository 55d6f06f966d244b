package builder

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/riscv-build/riscv-build/pusher"
	"github.com/riscv-build/riscv-build/recipes"
)

// Finished is an image of the state directory that passed its checks and tests.
type Finished struct {
	Name    string             `json:"name"` // of the recipe
	Version string             `json:"version"`
	Tags    []string           `json:"tags"` // of the recipe
	Desc    ocispec.Descriptor `json:"desc"`
}

// finishedKind begins the names of the cache's entries about finished images.
const finishedKind = "finished-"

// remember notes the image of a recipe; of each version it is the last.
func (b *Builder) remember(r *recipes.Recipe, img *built) error {
	f := Finished{Name: r.Name, Version: r.Version, Tags: r.Push.Tags, Desc: img.desc}
	var old Finished
	k := key(strings.TrimSuffix(finishedKind, "-"), r.Name, r.Version)
	if b.cache.get(k, &old) && old.Desc.Digest == f.Desc.Digest && slices.Equal(old.Tags, f.Tags) {
		return nil // an unchanged image writes nothing
	}
	return b.cache.put(k, f)
}

// Finished lists the images that the state directory holds whole, by name and version.
func (b *Builder) Finished(ctx context.Context) ([]Finished, error) {
	paths, err := filepath.Glob(filepath.Join(b.cache.dir, finishedKind+"*.json"))
	if err != nil {
		return nil, fmt.Errorf("listing images of the state directory %q: %w: check its name", b.cfg.StateDir, err)
	}
	var all []Finished
	for _, path := range paths {
		var f Finished
		text, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(text, &f) != nil {
			continue // as in the rest of the cache, unreadable is absent
		}
		if _, err := b.open(ctx, imageEntry{Desc: f.Desc}); err == nil {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(x, y Finished) int { return strings.Compare(x.Name+" "+x.Version, y.Name+" "+y.Version) })
	return all, nil
}

// Image gives a finished image's bytes.
func (b *Builder) Image(f Finished) pusher.Image {
	return pusher.Image{Provider: b.store.Content(), Desc: f.Desc}
}
