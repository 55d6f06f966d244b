package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
)

// CollectOptions says what is garbage.
type CollectOptions struct {
	Grace    time.Duration // what was sent, mounted or asked for so recently stays
	Untagged bool          // manifests that no tag leads to are garbage too
	DryRun   bool          // nothing is deleted
	Deleted  func(Garbage) // hears what is deleted; nil: nobody
}

// Garbage is one thing that is deleted.
type Garbage struct {
	Kind       string        `json:"kind"` // manifest, blob or upload
	Repository string        `json:"repository,omitempty"`
	Digest     digest.Digest `json:"digest,omitempty"`
	Bytes      int64         `json:"bytes"` // that are freed; those of a manifest are freed as a blob's
}

// Collected sums up what was deleted.
type Collected struct {
	Manifests int   `json:"manifests"` // taken from a repository
	Unlinked  int   `json:"unlinked"`  // blobs taken from a repository that does not use them
	Blobs     int   `json:"blobs"`     // files, of blobs and manifests
	Uploads   int   `json:"uploads"`
	Bytes     int64 `json:"bytes"`
}

// batch is how many blobs are deleted at a time while pushes wait.
const batch = 64

// collection is one run of the collector.
type collection struct {
	*Store
	opt    CollectOptions
	cutoff time.Time
	sum    Collected

	live     map[digest.Digest]bool     // used by a manifest of any repository, or one
	unlinked map[digest.Digest][]string // to repositories that have the blob and do not use it
	garbage  []manifestAt
}

type manifestAt struct {
	repo   string
	digest digest.Digest
}

// Collect deletes what no manifest needs. Pushes may go on meanwhile: what a
// push refers to is made young by it (see Store.complete), and each file is
// looked at again right before it is deleted, while no push can link it. A
// second collector is refused.
func (s *Store) Collect(ctx context.Context, opt CollectOptions) (Collected, error) {
	release, err := s.claim("gc.run", "registry gc")
	if err != nil {
		return Collected{}, err
	}
	defer release()
	c := &collection{
		Store: s, opt: opt,
		live: map[digest.Digest]bool{}, unlinked: map[digest.Digest][]string{},
	}
	if c.opt.Deleted == nil {
		c.opt.Deleted = func(Garbage) {}
	}
	for _, step := range []func(context.Context) error{c.begin, c.mark, c.sweepManifests, c.sweepBlobs, c.sweepUploads, c.prune} {
		if err := step(ctx); err != nil {
			return c.sum, fmt.Errorf("collecting garbage of %q: %w: nothing that is used was deleted; run it again when this is mended", s.root, err)
		}
	}
	return c.sum, nil
}

// begin sets the time before which things are old. No push is under way then:
// one that began before has its tag, which is seen, and one that begins later
// makes young what it names.
func (c *collection) begin(context.Context) error {
	release, err := c.alone()
	if err != nil {
		return err
	}
	defer release()
	c.cutoff = time.Now().Add(-c.opt.Grace)
	return nil
}

// mark finds what is used.
func (c *collection) mark(ctx context.Context) error {
	repos, err := c.reposWith(manifestLinks, blobLinks)
	if err != nil {
		return err
	}
	for _, repo := range repos {
		if err := errors.Join(ctx.Err(), c.markRepo(repo)); err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) markRepo(repo string) error {
	// The links first: a blob that is linked later is young.
	links, err := digestsBelow(c.repoPath(repo, blobLinks))
	if err != nil {
		return err
	}
	manifests, err := digestsBelow(c.repoPath(repo, manifestLinks))
	if err != nil {
		return err
	}
	used := map[digest.Digest]bool{}
	roots := manifests
	if c.opt.Untagged {
		if roots, err = c.roots(repo, manifests); err != nil {
			return err
		}
	}
	for _, d := range roots {
		if err := c.use(repo, d, used); err != nil {
			return err
		}
	}
	for d := range used {
		c.live[d] = true
	}
	for _, d := range manifests {
		if !used[d] {
			c.garbage = append(c.garbage, manifestAt{repo, d})
		}
	}
	for _, d := range links {
		if !used[d] {
			c.unlinked[d] = append(c.unlinked[d], repo)
		}
	}
	return nil
}

// roots are the manifests that have a tag or are young.
func (c *collection) roots(repo string, manifests []digest.Digest) ([]digest.Digest, error) {
	var roots []digest.Digest
	for _, d := range manifests {
		if young, err := c.young(d); err != nil {
			return nil, err
		} else if young {
			roots = append(roots, d)
		}
	}
	tags, err := c.tags(repo)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		d, err := c.resolve(repo, reference{tag: tag})
		if err == nil && checkDigest(d) == nil {
			roots = append(roots, d)
		}
	}
	return roots, nil
}

// use notes a manifest, what it names and what refers to it.
func (c *collection) use(repo string, d digest.Digest, used map[digest.Digest]bool) error {
	if used[d] {
		return nil
	}
	if _, err := os.Stat(c.linkPath(repo, manifestLinks, d)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a blob, or deleted meanwhile
		}
		return err
	}
	used[d] = true
	raw, err := os.ReadFile(c.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return fmt.Errorf("manifest %q of repository %q: %w", d, repo, err)
	}
	for _, b := range doc.blobs() {
		used[b.Digest] = true
	}
	for _, m := range doc.Manifests {
		if err := c.use(repo, m.Digest, used); err != nil {
			return err
		}
		used[m.Digest] = true // an entry may be a blob
	}
	referrers, err := c.referrers(repo, d)
	for _, r := range referrers {
		err = errors.Join(err, c.use(repo, r.Digest, used))
	}
	return err
}

// young says whether a blob is spared. What is not there is not.
func (c *collection) young(d digest.Digest) (bool, error) {
	info, err := os.Stat(c.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && info.ModTime().After(c.cutoff), err
}

// inBatches deletes with pushes held off, for a moment at a time.
func (c *collection) inBatches(ctx context.Context, n int, do func(i int) error) error {
	for from := 0; from < n; from += batch {
		release := func() {}
		if !c.opt.DryRun {
			var err error
			if release, err = c.alone(); err != nil {
				return err
			}
		}
		err := ctx.Err()
		for i := from; i < min(from+batch, n) && err == nil; i++ {
			err = do(i)
		}
		release()
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *collection) sweepManifests(ctx context.Context) error {
	return c.inBatches(ctx, len(c.garbage), func(i int) error {
		m := c.garbage[i]
		young, err := c.young(m.digest)
		if err != nil || young {
			return err
		}
		if !c.opt.DryRun {
			if err := c.unlinkManifest(m.repo, m.digest); err != nil && !errors.Is(err, ociregistry.ErrManifestUnknown) {
				return err
			}
		}
		c.sum.Manifests++
		c.opt.Deleted(Garbage{Kind: "manifest", Repository: m.repo, Digest: m.digest})
		return nil
	})
}

// sweepBlobs deletes files, and links to blobs that the repository does not use.
func (c *collection) sweepBlobs(ctx context.Context) error {
	found := map[digest.Digest]bool{}
	for d := range c.unlinked {
		found[d] = true
	}
	algorithms, err := readDir(filepath.Join(c.root, "blobs"))
	if err != nil {
		return err
	}
	for _, a := range algorithms {
		top := filepath.Join(c.root, "blobs", a)
		prefixes, err := readDir(top)
		if err != nil {
			return err
		}
		for _, prefix := range prefixes {
			files, err := readDir(filepath.Join(top, prefix))
			if err != nil {
				return err
			}
			for _, f := range files {
				if d := digest.NewDigestFromEncoded(digest.Algorithm(a), f); d.Validate() == nil && !c.live[d] {
					found[d] = true
				}
			}
		}
	}
	all := make([]digest.Digest, 0, len(found))
	for d := range found {
		all = append(all, d)
	}
	slices.Sort(all)
	return c.inBatches(ctx, len(all), func(i int) error { return c.sweepBlob(all[i]) })
}

// sweepBlob removes links first: without its file, a link would promise what is
// not there.
func (c *collection) sweepBlob(d digest.Digest) error {
	young, err := c.young(d)
	if err != nil || young {
		return err
	}
	for _, repo := range c.unlinked[d] {
		if !c.opt.DryRun {
			if err := os.Remove(c.linkPath(repo, blobLinks, d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		c.sum.Unlinked++
	}
	n, err := c.size(d, fs.ErrNotExist)
	if c.live[d] || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !c.opt.DryRun {
		if err := os.Remove(c.blobPath(d)); err != nil {
			return err
		}
	}
	c.sum.Blobs++
	c.sum.Bytes += n
	c.opt.Deleted(Garbage{Kind: "blob", Digest: d, Bytes: n})
	return nil
}

func (c *collection) sweepUploads(context.Context) error {
	return c.staleUploads(max(staleUpload, c.opt.Grace), func(path string, size int64) error {
		if !c.opt.DryRun {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
		c.sum.Uploads++
		c.sum.Bytes += size
		c.opt.Deleted(Garbage{Kind: "upload", Bytes: size})
		return nil
	})
}

// prune removes the directories of repositories that have nothing left.
func (c *collection) prune(context.Context) error {
	if c.opt.DryRun {
		return nil
	}
	release, err := c.alone()
	if err != nil {
		return err
	}
	defer release()
	var dirs []string
	top := filepath.Join(c.root, "repositories")
	err = filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != top {
			dirs = append(dirs, path)
		}
		return err
	})
	for _, dir := range slices.Backward(dirs) {
		_ = os.Remove(dir) // refuses what is not empty
	}
	return err
}
