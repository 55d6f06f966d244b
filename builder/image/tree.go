package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Entry is one entry of a layer. Its content is a part of a blob, or Data.
type Entry struct {
	Header tar.Header
	Data   []byte
	from   io.ReaderAt
	at     int64
}

// Tree is a set of entries by path (relative, clean, without a leading slash).
// A later entry replaces an earlier one of the same path.
type Tree struct {
	entries map[string]*Entry
	closers []io.Closer
}

// NewTree returns an empty tree.
func NewTree() *Tree { return &Tree{entries: map[string]*Entry{}} }

// Close releases the blobs that entries read from.
func (t *Tree) Close() error {
	var errs []error
	for _, c := range t.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// Add puts an entry into the tree.
func (t *Tree) Add(h tar.Header, data []byte) {
	h.Name = clean(h.Name)
	h.Size = int64(len(data))
	t.entries[h.Name] = &Entry{Header: h, Data: data}
}

// Lookup returns the entry of a path.
func (t *Tree) Lookup(name string) (*Entry, bool) {
	e, ok := t.entries[clean(name)]
	return e, ok
}

// Paths returns all paths, sorted.
func (t *Tree) Paths() []string {
	out := make([]string, 0, len(t.entries))
	for p := range t.entries {
		out = append(out, p)
	}
	sort.Strings(out)
	return out
}

// Remove drops a path.
func (t *Tree) Remove(name string) { delete(t.entries, clean(name)) }

// AddLayer reads an uncompressed layer of the store into the tree, keeping
// those entries for which keep returns true (nil: all). File content stays in
// the store until the tree is written.
func (t *Tree) AddLayer(ctx context.Context, p content.Provider, desc ocispec.Descriptor, keep func(*tar.Header) bool) error {
	ra, err := p.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("opening layer %q: %w", desc.Digest, err)
	}
	t.closers = append(t.closers, ra)
	src := io.NewSectionReader(ra, 0, ra.Size())
	tr := tar.NewReader(src)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading layer %q: %w", desc.Digest, err)
		}
		// tar.Reader reads headers block by block without reading ahead, so
		// this is where the entry's content starts.
		at, err := src.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		h.Name = clean(h.Name)
		if h.Typeflag == tar.TypeLink {
			h.Linkname = clean(h.Linkname)
		}
		if h.Name == "" || (keep != nil && !keep(h)) {
			continue
		}
		t.entries[h.Name] = &Entry{Header: *h, from: ra, at: at}
	}
}

// MergeUsr moves what lies below /bin, /sbin and /lib to where these links of a
// merged-usr base lead: an entry there would replace the link.
func (t *Tree) MergeUsr() {
	for _, p := range t.Paths() {
		e := t.entries[p]
		if e.Header.Typeflag == tar.TypeLink {
			e.Header.Linkname = merged(e.Header.Linkname, true)
		}
		if m := merged(p, true); m != p {
			delete(t.entries, p)
			e.Header.Name = m
			t.entries[m] = e
		}
	}
}

// AddParents adds the directories above every entry that exists does not know.
// Who unpacks a layer would make them too, but with a mode of his own choice.
func (t *Tree) AddParents(exists func(dir string) bool) {
	for _, p := range t.Paths() {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			if _, ok := t.entries[dir]; !ok && !exists(dir) {
				t.Add(tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}, nil)
			}
		}
	}
}

// AddBlob puts a file into the tree whose content is a whole blob of the store.
func (t *Tree) AddBlob(ctx context.Context, p content.Provider, desc ocispec.Descriptor, h tar.Header) error {
	ra, err := p.ReaderAt(ctx, desc)
	if err != nil {
		return fmt.Errorf("opening %q: %w", desc.Digest, err)
	}
	t.closers = append(t.closers, ra)
	h.Name, h.Size = clean(h.Name), ra.Size()
	t.entries[h.Name] = &Entry{Header: h, from: ra}
	return nil
}

// Read returns the content of a regular file.
func (e *Entry) Read() ([]byte, error) {
	b := make([]byte, e.Header.Size)
	_, err := io.ReadFull(e.open(), b)
	return b, err
}

func (e *Entry) open() io.Reader {
	if e.from == nil {
		return strings.NewReader(string(e.Data))
	}
	return io.NewSectionReader(e.from, e.at, e.Header.Size)
}

// Write writes the tree as a tar: sorted by path, a hard link after its target,
// every time set to date, owners as numbers, no extended attributes.
func (t *Tree) Write(w io.Writer, date time.Time) error {
	tw := tar.NewWriter(w)
	var links []string
	for _, p := range t.Paths() {
		if t.entries[p].Header.Typeflag == tar.TypeLink {
			links = append(links, p)
			continue
		}
		if err := t.writeEntry(tw, p, date); err != nil {
			return err
		}
	}
	for _, p := range links {
		if err := t.writeEntry(tw, p, date); err != nil {
			return err
		}
	}
	return tw.Close()
}

func (t *Tree) writeEntry(tw *tar.Writer, p string, date time.Time) error {
	e := t.entries[p]
	h := tar.Header{
		Typeflag: e.Header.Typeflag, Name: p, Linkname: e.Header.Linkname,
		Mode: e.Header.Mode & 0o7777, Uid: e.Header.Uid, Gid: e.Header.Gid,
		ModTime: date.UTC().Truncate(time.Second), Format: tar.FormatPAX,
	}
	switch h.Typeflag {
	case tar.TypeDir:
		h.Name += "/"
	case tar.TypeReg:
		h.Size = e.Header.Size
	case tar.TypeSymlink, tar.TypeLink:
	default:
		return fmt.Errorf("writing %q: an image may hold files, directories and links only, this is a special file: leave it out of artifacts", "/"+p)
	}
	if err := tw.WriteHeader(&h); err != nil {
		return fmt.Errorf("writing %q: %w", "/"+p, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	if _, err := io.Copy(tw, e.open()); err != nil {
		return fmt.Errorf("writing %q: %w", "/"+p, err)
	}
	return nil
}

// clean makes a path relative and clean; the root is "".
func clean(p string) string {
	return strings.TrimPrefix(path.Clean("/"+p), "/")
}
