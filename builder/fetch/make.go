package fetch

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// Maker writes a blob that no server keeps as a file, such as the tree of a
// git commit. It must write the same bytes every time. What it tells needs no
// name and digest.
type Maker func(ctx context.Context, w io.Writer, tell func(Event)) error

// Made is what a Maker wrote.
type Made struct {
	Digest     digest.Digest
	Size       int64 // bytes
	Downloaded int64 // bytes that came over the network for it
}

// Make stores what a Maker writes, under the digest that it turns out to have.
// A full disk is a *SpaceError; other errors are the Maker's.
func (s *Store) Make(ctx context.Context, name string, m Maker, progress Progress) (Made, error) {
	key := digest.FromString(name) // of a blob whose own is not known yet
	var made Made
	tell := func(e Event) {
		e.Name, e.Digest = name, key
		made.Downloaded = max(made.Downloaded, e.Done)
		if progress != nil {
			progress.Fetching(e)
		}
	}
	pr, pw := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		w := bufio.NewWriterSize(pw, copyBuffer)
		err := m(ctx, w, tell)
		if err == nil {
			err = w.Flush()
		}
		_ = pw.CloseWithError(err) // never fails
		ended <- err
	}()
	var err error
	made.Digest, made.Size, err = s.Put(ctx, pr)
	_ = pr.CloseWithError(err) // a Maker that still writes ends with it
	// The store's error repeats the Maker's, or the other way round: the first
	// of the two has the cause.
	if cause := <-ended; cause != nil && (err == nil || !errors.Is(cause, err)) {
		return made, cause
	}
	if err == nil {
		tell(Event{Done: made.Downloaded, Total: made.Downloaded, Ended: true})
	}
	return made, err
}

// makeBlob is blob for one that is made.
func (d *downloader) makeBlob(ctx context.Context, b Blob) error {
	made, err := d.store.Make(ctx, b.Name, b.Make, d.opt.Progress)
	d.bytes.Add(made.Downloaded)
	if err != nil {
		return err
	}
	if made.Digest != b.Digest {
		return &ChangedError{Blob: b, Got: made.Digest}
	}
	d.blobs.Add(1)
	return nil
}

// ChangedError says that a Maker gave other bytes than those that were locked.
type ChangedError struct {
	Blob Blob
	Got  digest.Digest
}

// Error names both digests.
func (e *ChangedError) Error() string {
	return fmt.Sprintf("fetching %q: it gives %s, and %s is locked: the lock was changed, or another version of riscv-build made it: run `riscv-build lock --update` and look at the difference",
		e.Blob.Name, e.Got, e.Blob.Digest)
}

// ExitCode is that of a wrong lock.
func (e *ChangedError) ExitCode() int { return 2 }
