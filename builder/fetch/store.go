package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Prefixes of ingest names: a download can be taken up again by a later run,
// a generated blob cannot.
const (
	refDownload = "riscv-build/download/"
	refPut      = "riscv-build/put/"
)

// touchEvery is how old a blob's last-use time may get before a use writes it
// anew: an SD card should not be written for every read.
const touchEvery = 24 * time.Hour

// copyBuffer is the size in bytes of the buffer between network and disk.
const copyBuffer = 256 << 10

// Store is the content store of a state directory. All methods may be called
// from several goroutines.
type Store struct {
	dir     string
	content content.Store
	seq     atomic.Int64

	mu   sync.Mutex
	busy map[digest.Digest]chan struct{} // closed when the download that holds the digest ends
}

// Open opens the content store in dir, creating it where it is missing. What
// a killed run left half-written is removed, except downloads, which Fetch
// resumes. The caller holds the lock of the state directory.
func Open(dir string) (*Store, error) {
	for _, sub := range []string{filepath.Join("blobs", "sha256"), "ingest"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("creating content store %q: %w: choose a directory that can be written with --state-dir", dir, err)
		}
	}
	cs, err := quietly(func() (content.Store, error) { return local.NewStore(dir) })
	if err != nil {
		return nil, fmt.Errorf("opening content store %q: %w: run `riscv-build doctor`", dir, err)
	}
	s := &Store{dir: dir, busy: map[digest.Digest]chan struct{}{}}
	s.content = usedContent{cs, s}
	if err := s.recover(); err != nil {
		return nil, fmt.Errorf("cleaning content store %q: %w: run `riscv-build doctor`", dir, err)
	}
	return s, nil
}

// quietly keeps the store's constructor from warning about every file system
// without fs-verity, which nothing here needs, on the user's terminal.
func quietly(open func() (content.Store, error)) (content.Store, error) {
	if level := log.GetLevel(); level > log.ErrorLevel {
		_ = log.SetLevel(log.ErrorLevel.String())
		defer log.SetLevel(level.String()) //nolint:errcheck // a level that was set
	}
	return open()
}

// recover removes ingests that no later run can take up.
func (s *Store) recover() error {
	root := filepath.Join(s.dir, "ingest")
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(root, e.Name())
		if resumable(path) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// resumable says whether the ingest directory is a download with its data.
func resumable(path string) bool {
	ref, err := os.ReadFile(filepath.Join(path, "ref"))
	if err != nil || !strings.HasPrefix(string(ref), refDownload) {
		return false
	}
	fi, err := os.Lstat(filepath.Join(path, "data"))
	return err == nil && fi.Mode().IsRegular() && fi.Size() > 0
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Content gives the store to the engine and the image writer. Reading a blob
// through it counts as a use of the blob.
func (s *Store) Content() content.Store { return s.content }

// Has says whether the blob is in the store, and counts as a use of it.
func (s *Store) Has(_ context.Context, dgst digest.Digest) bool {
	_, ok := s.stat(dgst)
	if ok {
		s.used(dgst)
	}
	return ok
}

// Reader reads a blob; it can be used as an io.ReaderAt by several goroutines.
type Reader struct {
	*io.SectionReader
	ra content.ReaderAt
}

// Close releases the blob's file.
func (r *Reader) Close() error { return r.ra.Close() }

// Open opens a blob for reading; the reader's Size is the blob's in bytes.
// The error is errdefs.ErrNotFound (containerd/errdefs) for a missing blob.
func (s *Store) Open(ctx context.Context, dgst digest.Digest) (*Reader, error) {
	ra, err := s.content.ReaderAt(ctx, ocispec.Descriptor{Digest: dgst})
	if err != nil {
		return nil, fmt.Errorf("opening blob %q of the content store: %w", dgst, err)
	}
	return &Reader{io.NewSectionReader(ra, 0, ra.Size()), ra}, nil
}

// Put writes a generated blob (a layer, a config, a manifest): aside first,
// synced, then renamed to its digest. Size is in bytes. A full disk is a
// *SpaceError.
func (s *Store) Put(ctx context.Context, r io.Reader) (digest.Digest, int64, error) {
	ref := fmt.Sprintf("%s%d-%d-%d", refPut, os.Getpid(), time.Now().UnixNano(), s.seq.Add(1))
	w, err := s.content.Writer(ctx, content.WithRef(ref))
	if err != nil {
		return "", 0, s.storing("a generated blob", 0, err)
	}
	dgst, size, err := commitAll(ctx, w, r)
	if err != nil {
		_ = w.Close()
		// The ingest must go even when the context is the reason for it.
		_ = s.content.Abort(context.WithoutCancel(ctx), ref)
		return "", 0, s.storing("a generated blob", 0, err)
	}
	return dgst, size, nil
}

// commitAll copies r into w and commits what came.
func commitAll(ctx context.Context, w content.Writer, r io.Reader) (digest.Digest, int64, error) {
	size, err := io.CopyBuffer(writerOnly{w}, contextReader{ctx, r}, make([]byte, copyBuffer))
	if err != nil {
		return "", 0, err
	}
	dgst := w.Digest()
	if err := w.Commit(ctx, size, dgst); err != nil && !errdefs.IsAlreadyExists(err) {
		return "", 0, err
	}
	return dgst, size, nil
}

// storing turns a write error into what the user should read.
func (s *Store) storing(name string, want int64, err error) error {
	if noSpace(err) {
		return &SpaceError{Dir: s.dir, Name: name, Need: want, Free: freeBytes(s.dir), Err: err}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("storing %q in content store %q: %w", name, s.dir, err)
}

// path is where the content store keeps a blob.
func (s *Store) path(dgst digest.Digest) string {
	return filepath.Join(s.dir, "blobs", dgst.Algorithm().String(), dgst.Encoded())
}

func (s *Store) stat(dgst digest.Digest) (os.FileInfo, bool) {
	if dgst.Validate() != nil {
		return nil, false
	}
	fi, err := os.Stat(s.path(dgst))
	return fi, err == nil && fi.Mode().IsRegular()
}

// used notes the use of a blob in its modification time, at most once a day.
// It is a hint for Prune: failing to write it is no error.
func (s *Store) used(dgst digest.Digest) {
	fi, ok := s.stat(dgst)
	if now := time.Now(); ok && now.Sub(fi.ModTime()) > touchEvery {
		_ = os.Chtimes(s.path(dgst), now, now)
	}
}

// usedContent is the local content store which notes reads.
type usedContent struct {
	content.Store
	s *Store
}

// ReaderAt opens a blob and notes its use.
func (u usedContent) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := u.Store.ReaderAt(ctx, desc)
	if err == nil {
		u.s.used(desc.Digest)
	}
	return ra, err
}

// writerOnly hides everything but Write, so that io.CopyBuffer uses its buffer.
type writerOnly struct{ io.Writer }

// contextReader ends with the context's error once that is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
