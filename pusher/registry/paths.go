package registry

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"cuelabs.dev/go/oci/ociregistry/ociref"
	"github.com/opencontainers/go-digest"
)

// What a repository keeps, each in a directory of this name. No component of a
// repository's name begins with an underscore.
const (
	blobLinks     = "_blobs"
	manifestLinks = "_manifests"
	tagLinks      = "_tags"
	referrerLinks = "_referrers"
)

// maxName is the longest name of a repository, in bytes: what other registries
// take, and less than a file name may have.
const maxName = 255

// checkName holds that a name is one by the specification's grammar
// (distribution-spec, "Pulling manifests"), before it becomes a path.
func checkName(repo string) error {
	if len(repo) > maxName || !ociref.IsValidRepository(repo) {
		return ociregistry.ErrNameInvalid
	}
	return nil
}

// checkDigest holds that a digest is one of an algorithm that is known here,
// in lower-case hexadecimal digits, before it becomes a path.
func checkDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return ociregistry.NewError(err.Error(), ociregistry.ErrDigestInvalid.Code(), nil)
	}
	return nil
}

func (s *Store) blobPath(d digest.Digest) string {
	return filepath.Join(s.root, "blobs", d.Algorithm().String(), d.Encoded()[:2], d.Encoded())
}

func (s *Store) repoPath(repo string, below ...string) string {
	parts := append([]string{s.root, "repositories", filepath.FromSlash(repo)}, below...)
	return filepath.Join(parts...)
}

func (s *Store) linkPath(repo, kind string, d digest.Digest) string {
	return s.repoPath(repo, kind, d.Algorithm().String(), d.Encoded())
}

func (s *Store) tagPath(repo, tag string) string {
	return s.repoPath(repo, tagLinks, tagFile(tag))
}

// referrerPath is where a manifest is noted as one that refers to subject.
func (s *Store) referrerPath(repo string, subject, d digest.Digest) string {
	return filepath.Join(s.linkPath(repo, referrerLinks, subject), d.Algorithm().String()+"-"+d.Encoded())
}

// tagFile is the file name of a tag. Tags differ by case, names of files on a
// Mac do not: a tag with capitals is written small, with a bit for each letter.
func tagFile(tag string) string {
	small := strings.ToLower(tag)
	if small == tag {
		return tag
	}
	bits := make([]byte, (len(tag)+7)/8)
	for i := range tag {
		if tag[i] != small[i] {
			bits[i/8] |= 1 << (i % 8)
		}
	}
	return small + "~" + hex.EncodeToString(bits)
}

// tagOf is the tag of a file name; false for a file that is none.
func tagOf(file string) (string, bool) {
	small, suffix, capitals := strings.Cut(file, "~")
	tag := []byte(small)
	if capitals {
		bits, err := hex.DecodeString(suffix)
		if err != nil || len(bits) != (len(tag)+7)/8 {
			return "", false
		}
		for i := range tag {
			if bits[i/8]&(1<<(i%8)) != 0 {
				tag[i] = strings.ToUpper(small[i : i+1])[0]
			}
		}
	}
	return string(tag), isTag(string(tag))
}

// isTag says whether a tag is one. The library does not bear an empty one.
func isTag(tag string) bool { return tag != "" && ociref.IsValidTag(tag) }

// digestsBelow lists the digests whose files are in the algorithm directories
// of a directory.
func digestsBelow(dir string) ([]digest.Digest, error) {
	var all []digest.Digest
	algorithms, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, a := range algorithms {
		files, err := readDir(filepath.Join(dir, a))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if d := digest.NewDigestFromEncoded(digest.Algorithm(a), f); d.Validate() == nil {
				all = append(all, d)
			}
		}
	}
	return all, nil
}

// readDir lists the names in a directory, sorted; a directory that is not there has none.
func readDir(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}
