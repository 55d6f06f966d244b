package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// repositories lists the names of all that have or had a manifest, sorted.
func (s *Store) repositories() ([]string, error) {
	return s.reposWith(manifestLinks)
}

// reposWith lists the repositories that have a directory of one of the kinds.
func (s *Store) reposWith(kinds ...string) ([]string, error) {
	top := filepath.Join(s.root, "repositories")
	var names []string
	err := filepath.WalkDir(top, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile
		case err != nil:
			return err
		case !e.IsDir():
			return nil
		case !strings.HasPrefix(e.Name(), "_"):
			return nil
		case slices.Contains(kinds, e.Name()):
			name, err := filepath.Rel(top, filepath.Dir(path))
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
		}
		return fs.SkipDir
	})
	slices.Sort(names) // '-' comes before '/' in names, but not in the walk
	return slices.Compact(names), err
}

// tags lists the tags of a repository, sorted.
func (s *Store) tags(repo string) ([]string, error) {
	files, err := readDir(s.repoPath(repo, tagLinks))
	if err != nil {
		return nil, err
	}
	tags := make([]string, 0, len(files))
	for _, f := range files {
		if tag, ok := tagOf(f); ok {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags, nil
}

// Repositories gives the names of the repositories after startAfter, sorted.
func (s *Store) Repositories(_ context.Context, startAfter string) iter.Seq2[string, error] {
	return after(startAfter, s.repositories)
}

// Tags gives the tags of a repository after startAfter, sorted.
func (s *Store) Tags(_ context.Context, repo, startAfter string) iter.Seq2[string, error] {
	return after(startAfter, func() ([]string, error) {
		err := checkName(repo)
		if err == nil {
			err = s.missing(repo, nil)
		}
		if err != nil {
			return nil, err
		}
		return s.tags(repo)
	})
}

func after(start string, list func() ([]string, error)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		all, err := list()
		if err != nil {
			yield("", err)
			return
		}
		for _, name := range all {
			if name > start && !yield(name, nil) {
				return
			}
		}
	}
}

// Referrers gives the manifests of a repository whose subject is d; of one
// artifact type, if that is not "". What is not there has none.
func (s *Store) Referrers(_ context.Context, repo string, d digest.Digest, artifactType string) iter.Seq2[ociregistry.Descriptor, error] {
	return func(yield func(ociregistry.Descriptor, error) bool) {
		all, err := s.referrers(repo, d)
		if err != nil {
			yield(ociregistry.Descriptor{}, err)
			return
		}
		for _, desc := range all {
			if (artifactType == "" || desc.ArtifactType == artifactType) && !yield(desc, nil) {
				return
			}
		}
	}
}

func (s *Store) referrers(repo string, d digest.Digest) ([]ocispec.Descriptor, error) {
	if err := cmp.Or(checkName(repo), checkDigest(d)); err != nil {
		return nil, err
	}
	dir := s.linkPath(repo, referrerLinks, d)
	files, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	all := make([]ocispec.Descriptor, 0, len(files))
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(dir, f))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		var desc ocispec.Descriptor
		if err == nil {
			err = json.Unmarshal(raw, &desc)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, desc)
	}
	return all, nil
}
