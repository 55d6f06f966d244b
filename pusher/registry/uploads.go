package registry

import (
	"context"
	"crypto/rand"
	_ "crypto/sha256" // the algorithms of digests
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"

	"cuelabs.dev/go/oci/ociregistry"
	"github.com/opencontainers/go-digest"
)

// minChunk is the least that a client should send at a time, in bytes; the
// last chunk may be smaller, and smaller ones are taken too.
const minChunk = 64 << 10

// errTakenOver ends a request whose upload another request continues.
var errTakenOver = ociregistry.NewError("the upload is continued by another request", ociregistry.ErrBlobUploadInvalid.Code(), nil)

// uploadID is what openUpload names files.
var uploadID = regexp.MustCompile(`^[A-Z2-7]{26}-[0-9a-f]{16}$`)

// expected is what a request says of the bytes that it brings; it travels in
// the context, since the interface of the protocol has no place for it.
type expected struct {
	offset    int64 // where they belong; -1: at the end
	algorithm digest.Algorithm
}

type expectedKey struct{}

func expecting(ctx context.Context, e expected) context.Context {
	return context.WithValue(ctx, expectedKey{}, e)
}

// upload is one request's part in an upload.
type upload struct {
	store   *Store
	session *session
	repo    string
	id      string
	file    *os.File
	size    int64 // guarded by session.mu
	done    bool
}

var _ ociregistry.BlobWriter = (*upload)(nil)

// PushBlob takes a blob in one request. desc.Size below 0 is unknown.
func (s *Store) PushBlob(ctx context.Context, repo string, desc ociregistry.Descriptor, r io.Reader) (ociregistry.Descriptor, error) {
	if err := checkDigest(desc.Digest); err != nil {
		return desc, err
	}
	u, err := s.openUpload(expecting(ctx, expected{offset: -1, algorithm: desc.Digest.Algorithm()}), repo)
	if err != nil {
		return desc, err
	}
	defer u.Cancel() //nolint:errcheck // nothing is left of it after a commit
	if _, err := u.ReadFrom(r); err != nil {
		return desc, err
	}
	if desc.Size >= 0 && u.Size() != desc.Size {
		return desc, ociregistry.ErrSizeInvalid
	}
	return u.Commit(desc.Digest)
}

// PushBlobChunked begins an upload.
func (s *Store) PushBlobChunked(ctx context.Context, repo string, _ int) (ociregistry.BlobWriter, error) {
	return s.openUpload(ctx, repo)
}

func (s *Store) openUpload(ctx context.Context, repo string) (*upload, error) {
	if err := checkName(repo); err != nil {
		return nil, err
	}
	id := rand.Text() + "-" + owner(repo)
	f, err := os.OpenFile(s.uploadPath(id), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	return s.join(ctx, &upload{store: s, repo: repo, id: id, file: f})
}

// PushBlobChunkedResume continues an upload, of this process or an earlier
// one. What the request says of its bytes is in the context.
func (s *Store) PushBlobChunkedResume(ctx context.Context, repo, id string, _ int64, _ int) (ociregistry.BlobWriter, error) {
	return s.resumeUpload(ctx, repo, id)
}

func (s *Store) resumeUpload(ctx context.Context, repo, id string) (*upload, error) {
	if err := checkName(repo); err != nil {
		return nil, err
	}
	if !uploadID.MatchString(id) || !strings.HasSuffix(id, "-"+owner(repo)) {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	f, err := os.OpenFile(s.uploadPath(id), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ociregistry.ErrBlobUploadUnknown
	}
	if err != nil {
		return nil, err
	}
	return s.join(ctx, &upload{store: s, repo: repo, id: id, file: f})
}

// join makes an upload the one that writes in its session.
func (s *Store) join(ctx context.Context, u *upload) (*upload, error) {
	want, ok := ctx.Value(expectedKey{}).(expected)
	if !ok {
		want.offset = -1
	}
	ses := s.sessions.get(u.id)
	ses.mu.Lock()
	defer ses.mu.Unlock()
	end, err := u.file.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, u.file.Close())
	}
	ses.writer, u.session, u.size = u, ses, end
	if want.offset >= 0 && want.offset != end {
		return nil, errors.Join(&offsetError{end}, u.file.Close())
	}
	if end == 0 && want.algorithm == "" {
		want.algorithm = digest.Canonical
	}
	if end == 0 && want.algorithm.Available() {
		ses.size, ses.kind, ses.hash = 0, want.algorithm, want.algorithm.Hash()
	}
	if ses.size != end {
		ses.hash = nil // bytes came that were not seen here
	}
	return u, nil
}

// offsetError is a chunk that does not follow the bytes that are there.
type offsetError struct{ have int64 }

func (e *offsetError) Error() string {
	return fmt.Sprintf("the upload has %d bytes, the chunk begins elsewhere: ask where to continue", e.have)
}

func (e *offsetError) Unwrap() error { return ociregistry.ErrRangeInvalid }

func (s *Store) uploadPath(id string) string { return filepath.Join(s.root, "uploads", id) }

// Write appends bytes.
func (u *upload) Write(p []byte) (int, error) {
	ses := u.session
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.writer != u {
		return 0, errTakenOver
	}
	n, err := u.file.Write(p)
	u.size += int64(n)
	if ses.hash != nil {
		ses.hash.Write(p[:n])
		ses.size = u.size
	}
	return n, err
}

// ReadFrom appends all that r gives. What came before an error stays.
func (u *upload) ReadFrom(r io.Reader) (int64, error) {
	return copyBuffered(struct{ io.Writer }{u}, r)
}

// Close ends the request's part; the upload can be continued.
func (u *upload) Close() error {
	if u.done {
		return nil
	}
	u.done = true
	return u.file.Close()
}

// Size is how many bytes the upload has.
func (u *upload) Size() int64 {
	u.session.mu.Lock()
	defer u.session.mu.Unlock()
	return u.size
}

// ChunkSize is the least that a client should send at a time.
func (u *upload) ChunkSize() int { return minChunk }

// ID names the upload.
func (u *upload) ID() string { return u.id }

// Commit makes the upload a blob of its repository, if the digest is that of
// its bytes. An upload with another digest is of no use to anybody: it ends.
func (u *upload) Commit(d digest.Digest) (ociregistry.Descriptor, error) {
	desc := ociregistry.Descriptor{MediaType: octets, Digest: d}
	if err := checkDigest(d); err != nil {
		return desc, err
	}
	ses := u.session
	ses.mu.Lock()
	defer ses.mu.Unlock()
	if ses.writer != u {
		return desc, errTakenOver
	}
	desc.Size = u.size
	sum, err := u.sum(d.Algorithm())
	if err != nil {
		return desc, err
	}
	if sum != d {
		return desc, errors.Join(ociregistry.ErrDigestInvalid, u.Cancel())
	}
	if err := u.store.adopt(u, d); err != nil {
		return desc, err
	}
	u.store.sessions.forget(u.id)
	return desc, u.Close()
}

// sum is the digest of the upload. Its bytes are read only if they were not
// hashed as they came.
func (u *upload) sum(algorithm digest.Algorithm) (digest.Digest, error) {
	ses := u.session
	if ses.hash != nil && ses.kind == algorithm && ses.size == u.size {
		return digest.NewDigest(algorithm, ses.hash), nil
	}
	h := algorithm.Hash()
	if _, err := copyBuffered(h, io.NewSectionReader(u.file, 0, u.size)); err != nil {
		return "", err
	}
	return digest.NewDigest(algorithm, h), nil
}

// adopt puts an upload among the blobs, and links it.
func (s *Store) adopt(u *upload, d digest.Digest) error {
	path := s.blobPath(d)
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	have, err := s.size(d, ociregistry.ErrBlobUnknown)
	there := err == nil && have == u.size
	if !there {
		if err := u.file.Sync(); err != nil {
			return err
		}
	}
	if err := s.linkUpload(u, d, there); err != nil || there {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// linkUpload moves an upload to its blob, if none is there yet, and links it.
func (s *Store) linkUpload(u *upload, d digest.Digest, there bool) error {
	release, err := s.shared()
	if err != nil {
		return err
	}
	defer release()
	from, path := s.uploadPath(u.id), s.blobPath(d)
	if there && s.touch(path) == nil {
		err = os.Remove(from)
	} else if err = s.touch(from); err == nil {
		if there { // the collector was faster
			err = u.file.Sync()
		}
		err = errors.Join(err, os.Rename(from, path))
	}
	if err != nil {
		return err
	}
	return s.linkBlob(u.repo, d)
}

// Cancel ends an upload and removes its bytes, unless it was committed.
func (u *upload) Cancel() error {
	if u.done {
		return nil
	}
	u.store.sessions.forget(u.id)
	return errors.Join(u.Close(), os.Remove(u.store.uploadPath(u.id)))
}

// buffers are for copies between files and connections.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// copyBuffered copies through a buffer that is used again. The reader and
// writer do not choose another way.
func copyBuffered(w io.Writer, r io.Reader) (int64, error) {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	return io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf[:])
}
