package pusher

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// packers make the compressor of an archive by the end of its name. Layers are
// compressed already: a small window finds what is left, in memory that a board
// has.
var packers = []struct {
	suffix string
	open   func(io.Writer) (io.WriteCloser, error)
}{
	{".tar.zst", func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	}},
	{".tar.gz", func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(w, 6) }},
	{".tar", func(w io.Writer) (io.WriteCloser, error) { return uncompressed{w}, nil }},
}

type uncompressed struct{ io.Writer }

func (uncompressed) Close() error { return nil }

// CheckBundle says what is wrong with a path for WriteBundle.
func CheckBundle(path string) error {
	if packer(path) == nil {
		return fmt.Errorf("writing images to %q: the end of the name says how: write FILE.tar.zst, FILE.tar.gz or FILE.tar", path)
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return fmt.Errorf("writing images to %q: it is a directory: name a file in it", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("writing images to %q: %w: make the directory first", path, err)
	}
	return nil
}

func packer(path string) func(io.Writer) (io.WriteCloser, error) {
	for _, p := range packers {
		if strings.HasSuffix(path, p.suffix) {
			return p.open
		}
	}
	return nil
}

// WriteBundle writes images, each under its names, to one archive that
// containerd imports and `docker load` reads, compressed as the end of its name
// says: .tar.zst, .tar.gz or .tar. Blobs that images share are in it once. It
// appears whole or not at all, and its bytes depend on images, their order and
// names only.
func WriteBundle(ctx context.Context, all []Named, path string) error {
	if err := CheckBundle(path); err != nil {
		return err
	}
	files, err := layoutFiles(ctx, all)
	if err == nil {
		err = aside(path, func(w io.Writer) error { return writePacked(ctx, files, packed{w, path}) })
	}
	if err != nil {
		return onDisk(fmt.Errorf("writing %d images to %q: %w", len(all), path, err))
	}
	return nil
}

// packed is where a compressed archive goes, and its name.
type packed struct {
	to   io.Writer
	path string
}

func writePacked(ctx context.Context, files []file, p packed) error {
	w, err := packer(p.path)(p.to)
	if err != nil {
		return err
	}
	if err := writeTar(ctx, files, w); err != nil {
		_ = w.Close() // what is there is thrown away
		return err
	}
	return w.Close()
}
