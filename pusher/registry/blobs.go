package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
)

// octets is the media type of a blob: a registry knows no other.
const octets = "application/octet-stream"

// known says whether a repository has a blob or manifest of its own; the error
// is unknown, or that the repository is unknown.
func (s *Store) known(repo, kind string, d digest.Digest, unknown error) error {
	if err := errors.Join(checkName(repo), checkDigest(d)); err != nil {
		return err
	}
	_, err := os.Stat(s.linkPath(repo, kind, d))
	if errors.Is(err, fs.ErrNotExist) {
		return s.missing(repo, unknown)
	}
	return err
}

// missing is the error for what a repository does not have.
func (s *Store) missing(repo string, unknown error) error {
	for _, kind := range []string{manifestLinks, blobLinks} {
		if _, err := os.Stat(s.repoPath(repo, kind)); err == nil {
			return unknown
		}
	}
	return ociregistry.ErrNameUnknown
}

// size is that of a blob's file; unknown if there is none.
func (s *Store) size(d digest.Digest, unknown error) (int64, error) {
	info, err := os.Stat(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, unknown
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ResolveBlob describes a blob. Who asks may be about to refer to it without
// sending it: the collector spares it for a while.
func (s *Store) ResolveBlob(_ context.Context, repo string, d digest.Digest) (ociregistry.Descriptor, error) {
	release, err := s.shared()
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	defer release()
	return s.keep(repo, d)
}

// keep describes a blob and makes it young. The caller holds the shared lock.
func (s *Store) keep(repo string, d digest.Digest) (ociregistry.Descriptor, error) {
	if err := s.known(repo, blobLinks, d, ociregistry.ErrBlobUnknown); err != nil {
		return ociregistry.Descriptor{}, err
	}
	n, err := s.size(d, ociregistry.ErrBlobUnknown)
	if err == nil {
		err = s.touch(s.blobPath(d))
	}
	return ociregistry.Descriptor{MediaType: octets, Digest: d, Size: n}, err
}

// GetBlob opens a blob.
func (s *Store) GetBlob(ctx context.Context, repo string, d digest.Digest) (ociregistry.BlobReader, error) {
	return s.GetBlobRange(ctx, repo, d, 0, -1)
}

// GetBlobRange opens a blob's bytes from offset0 up to offset1, or its end.
func (s *Store) GetBlobRange(_ context.Context, repo string, d digest.Digest, offset0, offset1 int64) (ociregistry.BlobReader, error) {
	if err := s.known(repo, blobLinks, d, ociregistry.ErrBlobUnknown); err != nil {
		return nil, err
	}
	f, err := os.Open(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ociregistry.ErrBlobUnknown
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && offset0 > 0 && offset0 >= info.Size() {
		err = ociregistry.ErrRangeInvalid
	}
	if err == nil {
		_, err = f.Seek(offset0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	end := info.Size()
	if offset1 >= 0 {
		end = min(end, offset1)
	}
	return &blobReader{
		file: f, LimitedReader: io.LimitedReader{R: f, N: max(0, end-offset0)},
		desc: ociregistry.Descriptor{MediaType: octets, Digest: d, Size: info.Size()},
	}, nil
}

// blobReader reads a part of a blob's file.
type blobReader struct {
	io.LimitedReader
	file *os.File
	desc ociregistry.Descriptor
}

// Descriptor describes the whole blob.
func (b *blobReader) Descriptor() ociregistry.Descriptor { return b.desc }

func (b *blobReader) Close() error { return b.file.Close() }

// WriteTo gives the file itself to a connection, which lets the kernel copy.
func (b *blobReader) WriteTo(w io.Writer) (int64, error) {
	if to, ok := w.(io.ReaderFrom); ok {
		return to.ReadFrom(&b.LimitedReader)
	}
	return copyBuffered(w, &b.LimitedReader)
}

// MountBlob gives a repository a blob that another has.
func (s *Store) MountBlob(_ context.Context, from, to string, d digest.Digest) (ociregistry.Descriptor, error) {
	if err := checkName(to); err != nil {
		return ociregistry.Descriptor{}, err
	}
	release, err := s.shared()
	if err != nil {
		return ociregistry.Descriptor{}, err
	}
	defer release()
	desc, err := s.keep(from, d)
	if err == nil {
		err = s.linkBlob(to, d)
	}
	return desc, err
}

// linkBlob notes that a repository has a blob. That the note stays after a
// power cut is seen to when a manifest needs it.
func (s *Store) linkBlob(repo string, d digest.Digest) error {
	path := s.linkPath(repo, blobLinks, d)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	return f.Close()
}

// DeleteBlob takes a blob from a repository; the collector frees its space when
// no other has it.
func (s *Store) DeleteBlob(_ context.Context, repo string, d digest.Digest) error {
	if err := s.known(repo, blobLinks, d, ociregistry.ErrBlobUnknown); err != nil {
		return err
	}
	s.changing(repo).Lock()
	defer s.changing(repo).Unlock()
	return removed(s.linkPath(repo, blobLinks, d), ociregistry.ErrBlobUnknown)
}

// removed removes a file; unknown if it is not there.
func removed(path string, unknown error) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return unknown
	}
	if err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) { // the collector removes empty ones
		return err
	}
	return nil
}
