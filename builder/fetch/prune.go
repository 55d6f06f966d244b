package fetch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Partial is the group of half-finished downloads in DU.
const Partial = "partial downloads"

// manifestLimit is the largest blob, in bytes, that is read as a manifest.
const manifestLimit = 4 << 20

// Usage is the disk use of one group of blobs.
type Usage struct {
	Group    string
	Blobs    int
	Bytes    int64
	LastUsed time.Time // of the blob used last; within a day
}

// DU adds up the store by group, sorted by name. The store does not know what
// its blobs are: group names each ("" becomes "other"); nil puts all in one.
func (s *Store) DU(ctx context.Context, group func(digest.Digest) string) ([]Usage, error) {
	sums := map[string]*Usage{}
	add := func(name string, bytes int64, used time.Time) {
		u := sums[name]
		if u == nil {
			u = &Usage{Group: name}
			sums[name] = u
		}
		u.Blobs++
		u.Bytes += bytes
		if used.After(u.LastUsed) {
			u.LastUsed = used
		}
	}
	blobs, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		name := ""
		if group != nil {
			name = group(b.dgst)
		}
		add(cmp.Or(name, "other"), b.size, b.used)
	}
	statuses, err := s.content.ListStatuses(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing downloads in %q: %w: run `riscv-build doctor`", s.dir, err)
	}
	for _, st := range statuses {
		add(Partial, st.Offset, st.UpdatedAt)
	}
	out := make([]Usage, 0, len(sums))
	for _, u := range sums {
		out = append(out, *u)
	}
	slices.SortFunc(out, func(a, b Usage) int { return cmp.Compare(a.Group, b.Group) })
	return out, nil
}

// PruneOptions says what Prune may delete. With neither OlderThan nor Limit it
// deletes everything that is not kept.
type PruneOptions struct {
	// Roots are kept, and if one is an image manifest or index, all it names.
	Roots []digest.Digest
	// Keep keeps further blobs. May be nil.
	Keep func(digest.Digest) bool
	// OlderThan deletes what was last used longer ago; 0: no such rule.
	OlderThan time.Duration
	// Limit deletes the least recently used until the store, kept blobs
	// included, has at most so many bytes; 0: no such rule.
	Limit  int64
	DryRun bool // only tell
}

// Pruned is what Prune deleted, or would.
type Pruned struct {
	Blobs int
	Bytes int64
}

// Prune deletes blobs that are not kept, the least recently used first, and
// half-finished downloads of the same age.
func (s *Store) Prune(ctx context.Context, opt PruneOptions) (Pruned, error) {
	var done Pruned
	blobs, err := s.list(ctx)
	if err != nil {
		return done, err
	}
	kept, total := s.reachable(opt.Roots), int64(0)
	for _, b := range blobs {
		total += b.size
	}
	slices.SortFunc(blobs, func(a, b entry) int {
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.dgst, b.dgst))
	})
	now := time.Now()
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return done, fmt.Errorf("pruning %q: %w", s.dir, err)
		}
		if kept[b.dgst] || opt.Keep != nil && opt.Keep(b.dgst) || !opt.due(now.Sub(b.used), total) {
			continue
		}
		if !opt.DryRun {
			if err := os.Remove(s.path(b.dgst)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return done, fmt.Errorf("deleting blob %q: %w: check the rights of %q", b.dgst, err, s.dir)
			}
		}
		total -= b.size
		done.Blobs++
		done.Bytes += b.size
	}
	return done, s.prunePartial(ctx, opt, &done)
}

// due says whether a rule wants a blob of this age to go from a store of
// total bytes.
func (o PruneOptions) due(age time.Duration, total int64) bool {
	if o.OlderThan <= 0 && o.Limit <= 0 {
		return true
	}
	return o.OlderThan > 0 && age > o.OlderThan || o.Limit > 0 && total > o.Limit
}

// prunePartial deletes half-finished downloads by age; a limit alone leaves
// them, they are someone's next resume.
func (s *Store) prunePartial(ctx context.Context, opt PruneOptions, done *Pruned) error {
	if opt.OlderThan <= 0 && opt.Limit > 0 {
		return nil
	}
	statuses, err := s.content.ListStatuses(ctx)
	if err != nil {
		return fmt.Errorf("listing downloads in %q: %w: run `riscv-build doctor`", s.dir, err)
	}
	for _, st := range statuses {
		if opt.OlderThan > 0 && time.Since(st.UpdatedAt) <= opt.OlderThan {
			continue
		}
		if !opt.DryRun {
			if err := s.content.Abort(ctx, st.Ref); err != nil {
				return fmt.Errorf("deleting download %q: %w: check the rights of %q", st.Ref, err, s.dir)
			}
		}
		done.Blobs++
		done.Bytes += st.Offset
	}
	return nil
}

// entry is one stored blob.
type entry struct {
	dgst digest.Digest
	size int64
	used time.Time
}

// list reads the blob directories. A file that vanishes meanwhile is left out.
func (s *Store) list(ctx context.Context) ([]entry, error) {
	var out []entry
	paths, err := filepath.Glob(filepath.Join(s.dir, "blobs", "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("listing content store %q: %w", s.dir, err)
	}
	for _, p := range paths {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("listing content store %q: %w", s.dir, err)
		}
		dgst := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Base(filepath.Dir(p))), filepath.Base(p))
		if fi, ok := s.stat(dgst); ok {
			out = append(out, entry{dgst, fi.Size(), fi.ModTime()})
		}
	}
	return out, nil
}

// reachable gives the roots and all that manifests among them name.
func (s *Store) reachable(roots []digest.Digest) map[digest.Digest]bool {
	seen := map[digest.Digest]bool{}
	for queue := slices.Clone(roots); len(queue) > 0; queue = queue[1:] {
		if dgst := queue[0]; !seen[dgst] {
			seen[dgst] = true
			queue = append(queue, s.children(dgst, seen)...)
		}
	}
	return seen
}

// children marks what a manifest names and returns the manifests of an index.
// A blob that is no manifest has none.
func (s *Store) children(dgst digest.Digest, seen map[digest.Digest]bool) []digest.Digest {
	fi, ok := s.stat(dgst)
	if !ok || fi.Size() > manifestLimit {
		return nil
	}
	raw, err := os.ReadFile(s.path(dgst))
	if err != nil {
		return nil
	}
	var m struct {
		Config    ocispec.Descriptor   `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	for _, d := range append(m.Layers, m.Config) {
		seen[d.Digest] = true
	}
	var next []digest.Digest
	for _, d := range m.Manifests {
		next = append(next, d.Digest)
	}
	return next
}
