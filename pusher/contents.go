package pusher

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// How long what a registry holds is taken for true, and how long it may take to
// find out.
const (
	contentsFresh = 5 * time.Second
	contentsTime  = 30 * time.Second
)

// Held is a tag of a registry, with how much of it is held for others, too.
type Held struct {
	Repository string
	Tag        string
	Digest     digest.Digest // of the image or the index
	Images     []ImageInfo   // one, or those of the index
	Bytes      int64         // of layers and configurations, each once
	Shared     int64         // of these, what other repositories or digests have too
	Err        error         // why it could not be read
}

// Contents lists one registry again and again: of manifests that it has seen it
// asks no more than whether the tags still name them. Its methods may be called
// from several goroutines, which then share one answer.
type Contents struct {
	p      *Pusher
	target string
	flight singleflight.Group

	mu   sync.Mutex
	seen map[digest.Digest][]ImageInfo // of the last list
	last []Held
	at   time.Time // of last
}

// Contents gives the lister of a registry, or of what is below a prefix of it
// (see ParseTarget).
func (p *Pusher) Contents(target string) (*Contents, error) {
	if _, _, err := ParseTarget(target); err != nil {
		return nil, err
	}
	return &Contents{p: p, target: target}, nil
}

// Tags lists what the registry holds, by repository and tag. A registry that
// gives no answer within half a minute is an error.
func (c *Contents) Tags(ctx context.Context) ([]Held, error) {
	c.mu.Lock()
	last, fresh := c.last, time.Since(c.at) < contentsFresh
	c.mu.Unlock()
	if fresh {
		return slices.Clone(last), nil
	}
	answer := c.flight.DoChan("", func() (any, error) {
		// Not the context of the first of those who ask: it may leave.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), contentsTime)
		defer cancel()
		return c.list(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case r := <-answer:
		if r.Err != nil {
			return nil, r.Err
		}
		return slices.Clone(r.Val.([]Held)), nil //nolint:forcetypeassert // of list
	}
}

func (c *Contents) list(ctx context.Context) ([]Held, error) {
	names, err := c.p.Repositories(ctx, c.target)
	if err != nil {
		return nil, err
	}
	ep, _, err := c.p.host(ctx, c.target)
	if err != nil {
		return nil, err
	}
	of := make([][]Held, len(names))
	var group errgroup.Group
	group.SetLimit(c.p.opt.Parallel)
	for i, name := range names {
		group.Go(func() error {
			of[i] = c.repository(ctx, ep, name)
			return nil
		})
	}
	_ = group.Wait() // what went wrong is in the tags
	if err := ctx.Err(); err != nil {
		return nil, ep.fail(ctx, subject{op: "listing repositories"}, err)
	}
	all := slices.Concat(of...)
	share(all)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last, c.at, c.seen = all, time.Now(), map[digest.Digest][]ImageInfo{}
	for _, h := range all {
		if h.Err == nil {
			c.seen[h.Digest] = h.Images
		}
	}
	return all, nil
}

// repository reads the tags of one. Without an answer it is a tag of its own
// that says so.
func (c *Contents) repository(ctx context.Context, ep *endpoint, name string) []Held {
	repo := ep.repository(name)
	ctx = auth.AppendRepositoryScope(ctx, repo.Reference, auth.ActionPull)
	var tags []string
	err := repo.Tags(ctx, "", func(page []string) error {
		tags = append(tags, page...)
		return nil
	})
	if err != nil {
		if err = ep.fail(ctx, subject{"listing tags", name, ""}, err); IsNotFound(err) {
			return nil // a repository without tags is left when all are deleted
		}
		return []Held{{Repository: name, Err: err}}
	}
	slices.Sort(tags)
	var all []Held
	for _, tag := range slices.Compact(tags) {
		h := Held{Repository: name, Tag: tag}
		desc, err := repo.Manifests().Resolve(ctx, tag)
		if err == nil {
			h.Digest = desc.Digest
			c.mu.Lock()
			known, ok := c.seen[desc.Digest]
			c.mu.Unlock()
			if h.Images = known; !ok {
				h.Images, err = describe(ctx, repo, desc)
			}
		}
		if err != nil {
			h.Err = ep.fail(ctx, subject{"reading tag", name, tag}, err)
		}
		all = append(all, h)
	}
	return all
}

// share sums up the blobs of each tag.
func share(all []Held) {
	type holder struct {
		repository string
		digest     digest.Digest
	}
	first := map[digest.Digest]holder{}
	shared := map[digest.Digest]bool{}
	for _, h := range all {
		at := holder{h.Repository, h.Digest}
		for b := range h.blobs() {
			if other, ok := first[b]; ok && other != at {
				shared[b] = true
			}
			first[b] = at
		}
	}
	for i := range all {
		for b, size := range all[i].blobs() {
			all[i].Bytes += size
			if shared[b] {
				all[i].Shared += size
			}
		}
	}
}

// blobs are the sizes of layers and configurations of all images, in bytes.
func (h Held) blobs() map[digest.Digest]int64 {
	sizes := map[digest.Digest]int64{}
	for _, i := range h.Images {
		for _, b := range i.blobs {
			sizes[b.Digest] = b.Size
		}
	}
	return sizes
}

// Layers are the digests of an image's layers, from the bottom up.
func (i ImageInfo) Layers() []digest.Digest {
	var all []digest.Digest
	for _, b := range i.blobs[min(1, len(i.blobs)):] {
		all = append(all, b.Digest)
	}
	return all
}
