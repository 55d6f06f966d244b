package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"cuelabs.dev/go/oci/ociregistry"

	"github.com/riscv-build/riscv-build/pusher"
)

// How a download from the other registry is tried again.
const (
	downloadTries = 5
	downloadPause = 250 * time.Millisecond // doubled after each try
)

// errDownload is what readers of a download get whose bytes are not those that
// were asked for.
var errDownload = errors.New("the other registry gave other bytes than it should")

// extent is a part of a blob: from the first byte up to the second.
type extent struct{ from, to int64 }

// download is a blob that comes from the other registry: one, however many ask.
type download struct {
	path string // of the upload that it is stored in
	desc ociregistry.Descriptor

	mu    sync.Mutex
	moved chan struct{} // closed, and made anew, when something changes
	have  int64         // bytes that can be read
	ended bool
	err   error

	repos map[string]bool // that get the blob; guarded by cache.mu
}

// follow reads a blob as it comes. The download is begun, or joined.
func (c *cache) follow(ctx context.Context, repo string, desc ociregistry.Descriptor, part extent) (ociregistry.BlobReader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.downloads[desc.Digest]
	if d == nil {
		u, err := c.openUpload(expecting(ctx, expected{offset: -1, algorithm: desc.Digest.Algorithm()}), repo)
		if err != nil {
			return nil, err
		}
		d = &download{path: c.uploadPath(u.id), desc: desc, moved: make(chan struct{}), repos: map[string]bool{}}
		c.downloads[desc.Digest] = d
		defer func() { go c.run(context.WithoutCancel(ctx), d, u) }()
	}
	f, err := os.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) { // it has just become a blob
		f, err = os.Open(c.blobPath(desc.Digest))
	}
	if err != nil {
		return nil, err
	}
	d.repos[repo] = true
	return &follower{ctx: ctx, download: d, file: f, at: part.from, end: part.to}, nil
}

// run fetches, verifies and stores a blob. Whoever began it may be gone: what
// was asked for once will be asked for again.
func (c *cache) run(ctx context.Context, d *download, u *upload) {
	err := c.fetch(ctx, d, u)
	if err == nil {
		_, err = u.Commit(d.desc.Digest)
	}
	if err != nil {
		c.warn("downloading a blob", "repository", u.repo, "digest", d.desc.Digest, "error", err.Error())
		err = errors.Join(err, u.Cancel())
	}
	c.mu.Lock()
	delete(c.downloads, d.desc.Digest) // nobody joins from here on
	c.mu.Unlock()
	for repo := range d.repos {
		if err == nil && repo != u.repo {
			err = c.share(repo, d.desc.Digest)
		}
	}
	d.step(d.desc.Size, true, err)
}

// fetch brings the bytes. A connection that breaks is continued where it broke.
func (c *cache) fetch(ctx context.Context, d *download, u *upload) error {
	var err error
	for try := range downloadTries {
		if try > 0 {
			time.Sleep(downloadPause << try)
		}
		if err = c.transfer(ctx, d, u); u.Size() >= d.desc.Size || pusher.IsNotFound(err) {
			break
		}
	}
	switch size := u.Size(); {
	case size == d.desc.Size:
		return nil
	case err == nil || size > d.desc.Size:
		return errDownload
	}
	return err
}

// transfer is one try. Nothing comes for a while: the try ends.
func (c *cache) transfer(ctx context.Context, d *download, u *upload) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := c.upstream.Blob(ctx, u.repo, d.desc, u.Size())
	if err != nil {
		return err
	}
	defer body.Close()
	watch := time.AfterFunc(stall, cancel)
	defer watch.Stop()
	_, err = u.ReadFrom(progress{io.LimitReader(body, d.desc.Size+1-u.Size()), func(int) {
		watch.Reset(stall)
		d.step(u.Size(), false, nil)
	}})
	return err
}

// progress tells of every byte that came.
type progress struct {
	io.Reader
	tell func(n int)
}

func (p progress) Read(b []byte) (int, error) {
	n, err := p.Reader.Read(b)
	p.tell(n)
	return n, err
}

// step notes what there is to read. The last byte is kept back until all are
// verified, so that no reader ends well with wrong ones.
func (d *download) step(have int64, ended bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !ended {
		have = min(have, d.desc.Size-1)
	}
	d.have, d.ended, d.err = max(have, d.have), ended, err
	close(d.moved)
	d.moved = make(chan struct{})
}

// follower reads a download while it grows.
type follower struct {
	*download
	ctx     context.Context
	file    *os.File
	at, end int64
}

// Descriptor describes the whole blob.
func (f *follower) Descriptor() ociregistry.Descriptor { return f.desc }

func (f *follower) Close() error { return f.file.Close() }

func (f *follower) Read(p []byte) (int, error) {
	for f.at < f.end {
		f.mu.Lock()
		have, ended, err, moved := f.have, f.ended, f.err, f.moved
		f.mu.Unlock()
		switch {
		case ended && err != nil:
			return 0, err
		case f.at < have:
			n, err := f.file.ReadAt(p[:min(int64(len(p)), have-f.at, f.end-f.at)], f.at)
			f.at += int64(n)
			if n > 0 {
				err = nil
			}
			return n, err
		case ended:
			return 0, io.ErrUnexpectedEOF
		}
		select {
		case <-moved:
		case <-f.ctx.Done():
			return 0, f.ctx.Err()
		}
	}
	return 0, io.EOF
}
