package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// pushed is a manifest that comes.
type pushed struct {
	digest      digest.Digest // "": that by SHA-256
	tags        []string
	contentType string
	raw         []byte
}

// PutManifest stores a manifest, and moves the tags when all that it names is
// in the repository and will stay there after a power cut. It gives the
// manifest's descriptor and subject.
func (s *Store) PutManifest(_ context.Context, repo string, p pushed) (desc ocispec.Descriptor, subject *ocispec.Descriptor, err error) {
	if err := checkName(repo); err != nil {
		return desc, nil, err
	}
	doc, mediaType, err := readDocument(p.contentType, p.raw)
	if err != nil {
		return desc, nil, err
	}
	algorithm := digest.Canonical
	if p.digest != "" {
		algorithm = p.digest.Algorithm()
	}
	desc = ocispec.Descriptor{MediaType: mediaType, Digest: algorithm.FromBytes(p.raw), Size: int64(len(p.raw))}
	if p.digest != "" && p.digest != desc.Digest {
		return desc, nil, ociregistry.ErrDigestInvalid
	}
	s.changing(repo).Lock()
	defer s.changing(repo).Unlock()
	release, err := s.shared()
	if err != nil {
		return desc, nil, err
	}
	defer release()
	if err := s.complete(repo, doc); err != nil {
		return desc, nil, err
	}
	return desc, doc.Subject, s.linkManifest(repo, p, doc.descriptor(desc), doc.Subject)
}

// complete holds that a repository has what a manifest names, and makes it
// young. The entries of an index must be there as well, as with the classic
// registry's usual settings: a tag that is pulled for one platform must not
// miss another. An entry may be a blob: so BuildKit writes its caches. Not
// looked for are layers that say where else they are, and the subject, which
// the specification lets come later.
func (s *Store) complete(repo string, doc *document) error {
	var missing []string
	n := &needs{store: s, repo: repo, seen: map[digest.Digest]bool{}}
	for _, d := range doc.needed() {
		err := n.need(d)
		switch {
		case errors.Is(err, ociregistry.ErrManifestBlobUnknown):
			missing = append(missing, d.Digest.String())
		case err != nil:
			return err
		}
	}
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing[:min(len(missing), 5)], ", ")
	return ociregistry.NewError(fmt.Sprintf("the repository does not have %s, %d in all: push what is missing first", names, len(missing)),
		ociregistry.ErrManifestBlobUnknown.Code(), nil)
}

// needs is what is looked for in a repository, each thing once.
type needs struct {
	store *Store
	repo  string
	seen  map[digest.Digest]bool
}

// need holds that the repository has what a manifest names, and makes it young
// with all below it.
func (n *needs) need(d needed) error {
	if n.seen[d.Digest] {
		return nil
	}
	n.seen[d.Digest] = true
	s := n.store
	var unknown error = ociregistry.ErrManifestBlobUnknown
	err := unknown
	if d.entry {
		if err = s.known(n.repo, manifestLinks, d.Digest, unknown); err == nil {
			err = n.refresh(d.Digest)
		}
	}
	if errors.Is(err, unknown) {
		err = s.known(n.repo, blobLinks, d.Digest, unknown)
	}
	if err == nil {
		err = s.touch(s.blobPath(d.Digest))
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ociregistry.ErrNameUnknown) {
		return unknown
	}
	return err
}

// refresh makes young what a manifest names: the collector may have seen it
// without a tag, and take what it names for garbage. What is missing below it
// was deleted by somebody, and is not the matter of this push.
func (n *needs) refresh(d digest.Digest) error {
	raw, err := os.ReadFile(n.store.blobPath(d))
	if err != nil {
		return err
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return err
	}
	for _, below := range doc.needed() {
		if err := n.need(below); err != nil && !errors.Is(err, ociregistry.ErrManifestBlobUnknown) {
			return err
		}
	}
	return nil
}

// linkManifest writes a manifest and what points at it, the tags last.
func (s *Store) linkManifest(repo string, p pushed, desc ocispec.Descriptor, subject *ocispec.Descriptor) error {
	if err := s.syncLinks(repo); err != nil {
		return err
	}
	if have, err := s.size(desc.Digest, ociregistry.ErrManifestUnknown); err != nil || have != desc.Size {
		if err := s.writeFile(s.blobPath(desc.Digest), p.raw); err != nil {
			return err
		}
	}
	if err := s.touch(s.blobPath(desc.Digest)); err != nil { // the clock of a file system may be behind
		return err
	}
	if err := s.writeChanged(s.linkPath(repo, manifestLinks, desc.Digest), desc.MediaType); err != nil {
		return err
	}
	if subject != nil {
		raw, err := json.Marshal(desc)
		if err == nil {
			err = s.writeFile(s.referrerPath(repo, subject.Digest, desc.Digest), raw)
		}
		if err != nil {
			return err
		}
	}
	for _, tag := range p.tags {
		if err := s.writeChanged(s.tagPath(repo, tag), desc.Digest.String()); err != nil {
			return err
		}
	}
	return nil
}

// syncLinks makes the notes of a repository's blobs stay after a power cut.
func (s *Store) syncLinks(repo string) error {
	algorithms, err := readDir(s.repoPath(repo, blobLinks))
	for _, a := range algorithms {
		err = errors.Join(err, syncDir(s.repoPath(repo, blobLinks, a)))
	}
	return err
}

// writeChanged writes a file unless it has this text.
func (s *Store) writeChanged(path, text string) error {
	if raw, err := os.ReadFile(path); err == nil && string(raw) == text {
		return nil
	}
	return s.writeFile(path, []byte(text))
}

// resolve finds the digest that a reference names.
func (s *Store) resolve(repo string, ref reference) (digest.Digest, error) {
	if ref.tag == "" {
		return ref.digest, nil
	}
	if err := checkName(repo); err != nil {
		return "", err
	}
	if !isTag(ref.tag) {
		return "", ociregistry.ErrManifestUnknown
	}
	raw, err := os.ReadFile(s.tagPath(repo, ref.tag))
	if errors.Is(err, fs.ErrNotExist) {
		return "", s.missing(repo, ociregistry.ErrManifestUnknown)
	}
	return digest.Digest(raw), err
}

// describe gives the descriptor of a manifest.
func (s *Store) describe(repo string, ref reference) (ociregistry.Descriptor, error) {
	d, err := s.resolve(repo, ref)
	if err == nil {
		err = s.known(repo, manifestLinks, d, ociregistry.ErrManifestUnknown)
	}
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	mediaType, err := os.ReadFile(s.linkPath(repo, manifestLinks, d))
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
		return ociregistry.Descriptor{}, ociregistry.ErrManifestUnknown
	}
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	n, err := s.size(d, ociregistry.ErrManifestUnknown)
	return ociregistry.Descriptor{MediaType: string(mediaType), Digest: d, Size: n}, err
}

func (s *Store) openManifest(repo string, ref reference) (ociregistry.BlobReader, error) {
	desc, err := s.describe(repo, ref)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(s.blobPath(desc.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ociregistry.ErrManifestUnknown
	}
	return &memoryReader{bytes.NewReader(raw), desc}, err
}

// memoryReader reads a manifest.
type memoryReader struct {
	*bytes.Reader
	desc ociregistry.Descriptor
}

// Descriptor describes the manifest.
func (m *memoryReader) Descriptor() ociregistry.Descriptor { return m.desc }

func (m *memoryReader) Close() error { return nil }

// GetManifest reads a manifest.
func (s *Store) GetManifest(_ context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	return s.openManifest(repo, reference{digest: d})
}

// GetTag reads the manifest that a tag names.
func (s *Store) GetTag(_ context.Context, repo, tag string) (ociregistry.BlobReader, error) {
	return s.openManifest(repo, reference{tag: tag})
}

// ResolveManifest describes a manifest.
func (s *Store) ResolveManifest(_ context.Context, repo string, d digest.Digest) (ociregistry.Descriptor, error) {
	return s.describe(repo, reference{digest: d})
}

// ResolveTag describes the manifest that a tag names.
func (s *Store) ResolveTag(_ context.Context, repo, tag string) (ociregistry.Descriptor, error) {
	return s.describe(repo, reference{tag: tag})
}

// DeleteTag takes a tag away; the manifest stays.
func (s *Store) DeleteTag(_ context.Context, repo, tag string) error {
	s.changing(repo).Lock()
	defer s.changing(repo).Unlock()
	if _, err := s.resolve(repo, reference{tag: tag}); err != nil {
		return err
	}
	return removed(s.tagPath(repo, tag), ociregistry.ErrManifestUnknown)
}

// DeleteManifest takes a manifest away, first the tags that name it.
func (s *Store) DeleteManifest(_ context.Context, repo string, d digest.Digest) error {
	s.changing(repo).Lock()
	defer s.changing(repo).Unlock()
	desc, err := s.describe(repo, reference{digest: d})
	if err != nil {
		return err
	}
	tags, err := s.tags(repo)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		if at, err := s.resolve(repo, reference{tag: tag}); err != nil || at != desc.Digest {
			continue
		}
		if err := removed(s.tagPath(repo, tag), ociregistry.ErrManifestUnknown); err != nil {
			return err
		}
	}
	return s.unlinkManifest(repo, d)
}

// unlinkManifest takes a manifest without tags from a repository, and from the
// list of its subject's referrers.
func (s *Store) unlinkManifest(repo string, d digest.Digest) error {
	raw, err := os.ReadFile(s.blobPath(d))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var doc document
	if json.Unmarshal(raw, &doc) == nil && doc.Subject != nil && checkDigest(doc.Subject.Digest) == nil {
		path := s.referrerPath(repo, doc.Subject.Digest, d)
		if err := removed(path, nil); err != nil {
			return err
		}
		_ = os.Remove(filepath.Dir(path)) // if it was the last
	}
	return removed(s.linkPath(repo, manifestLinks, d), ociregistry.ErrManifestUnknown)
}
