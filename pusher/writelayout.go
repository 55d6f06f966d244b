package pusher

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// WriteLayout writes an image to disk under the names refs: with a path that
// ends in .tar as an archive that `docker load`, skopeo and ctr read, else as
// an OCI layout directory. What stood there before is replaced, in one step:
// a crash leaves the old image or the new. A directory that holds other things
// than a layout is refused. The bytes depend on image and names only.
func WriteLayout(ctx context.Context, img Image, refs []string, path string) error {
	files, err := layoutFiles(ctx, []Named{{img, refs}})
	if err == nil {
		switch {
		case strings.HasSuffix(path, ".tar"):
			err = writeArchive(ctx, files, path)
		case strings.Contains(filepath.Base(path), ".tar."):
			err = errors.New("archives are written uncompressed: name it .tar")
		default:
			err = writeDir(ctx, files, path)
		}
	}
	if err != nil {
		return onDisk(fmt.Errorf("writing image to %q: %w", path, err))
	}
	return nil
}

// WriteArchive writes to w what WriteLayout writes to a file that ends in .tar.
func WriteArchive(ctx context.Context, img Image, refs []string, w io.Writer) error {
	files, err := layoutFiles(ctx, []Named{{img, refs}})
	if err == nil {
		err = writeTar(ctx, files, w)
	}
	if err != nil {
		return fmt.Errorf("writing image %q as an archive: %w", img.Desc.Digest, err)
	}
	return nil
}

// file is one file of a layout: text, or a blob of the image.
type file struct {
	name string
	text []byte
	blob ocispec.Descriptor
	from content.Provider
}

func (f file) size() int64 {
	if f.from != nil {
		return f.blob.Size
	}
	return int64(len(f.text))
}

// writeTo copies the file and verifies a blob on the way.
func (f file) writeTo(ctx context.Context, w io.Writer) error {
	if f.from == nil {
		_, err := w.Write(f.text)
		return err
	}
	ra, err := f.from.ReaderAt(ctx, f.blob)
	if err != nil {
		return fmt.Errorf("reading blob %q: %w: build the image again", f.blob.Digest, err)
	}
	defer ra.Close()
	h := f.blob.Digest.Algorithm().Digester()
	n, err := io.Copy(io.MultiWriter(w, h.Hash()), io.NewSectionReader(ra, 0, ra.Size()))
	if err != nil {
		return err
	}
	if n != f.blob.Size || h.Digest() != f.blob.Digest {
		return fmt.Errorf("reading blob %q: the bytes are others: the image is damaged, build it again", f.blob.Digest)
	}
	return ctx.Err()
}

func blobName(d digest.Digest) string {
	return path.Join("blobs", d.Algorithm().String(), d.Encoded())
}

// writeArchive writes a tar file aside and renames it.
func writeArchive(ctx context.Context, files []file, name string) error {
	return aside(name, func(w io.Writer) error { return writeTar(ctx, files, w) })
}

// writeTar writes files as the members of an archive.
func writeTar(ctx context.Context, files []file, w io.Writer) error {
	tw := tar.NewWriter(w)
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
		if err != nil {
			return err
		}
	}
	for _, f := range files {
		err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: f.size(), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
		if err != nil {
			return err
		}
		if err := f.writeTo(ctx, tw); err != nil {
			return err
		}
	}
	return tw.Close()
}

// writeDir writes blobs first, then index.json, then removes what the old
// layout had: at every moment the index names blobs that are there.
func writeDir(ctx context.Context, files []file, dir string) error {
	if err := layoutOrEmpty(dir); err != nil {
		return err
	}
	keep := map[string]bool{}
	var last []file
	for _, f := range files {
		keep[f.name] = true
		if f.name == ocispec.ImageIndexFile {
			last = append(last, f)
			continue
		}
		if f.name == dockerManifest {
			continue // for docker load, which reads archives only
		}
		if err := writeFile(ctx, dir, f); err != nil {
			return err
		}
	}
	for _, f := range last {
		if err := writeFile(ctx, dir, f); err != nil {
			return err
		}
	}
	var old []string
	for _, pattern := range []string{filepath.Join("blobs", "*", "*"), asidePrefix + "*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		old = append(old, found...)
	}
	for _, p := range old {
		rel, err := filepath.Rel(dir, p)
		if err == nil && !keep[filepath.ToSlash(rel)] {
			if err := os.Remove(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// layoutOrEmpty refuses a directory with other things in it.
func layoutOrEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: name a directory or a file that ends in .tar", err)
	}
	for _, e := range entries {
		switch e.Name() {
		case ocispec.ImageLayoutFile, ocispec.ImageIndexFile, "blobs":
		default:
			if !strings.HasPrefix(e.Name(), asidePrefix) {
				return fmt.Errorf("there is %q in it, which is no part of an OCI layout: name an empty directory", e.Name())
			}
		}
	}
	return nil
}

func writeFile(ctx context.Context, dir string, f file) error {
	name := filepath.Join(dir, filepath.FromSlash(f.name))
	if fi, err := os.Stat(name); err == nil && f.from != nil && fi.Size() == f.blob.Size {
		same, err := sameBlob(name, f.blob.Digest)
		if err != nil || same {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return aside(name, func(w io.Writer) error { return f.writeTo(ctx, w) })
}

func sameBlob(name string, want digest.Digest) (bool, error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	got, err := want.Algorithm().FromReader(f)
	return got == want, err
}

// asidePrefix begins the names of files that are being written.
const asidePrefix = ".riscv-build-"

// aside writes a file beside its place, syncs it and renames it.
func aside(name string, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), asidePrefix+"*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // renamed by then, unless something failed
	defer tmp.Close()           //nolint:errcheck // closed below, unless something failed
	if err := write(tmp); err != nil {
		return err
	}
	if err := tmp.Chmod(0o644); err != nil {
		return err
	}
	if err := tmp.Sync(); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

// syncDir makes what was renamed into a directory, or made there, last.
func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
