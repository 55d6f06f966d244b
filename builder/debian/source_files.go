package debian

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// maxSourceFile is the largest file, in bytes, that SourceFiles gives.
const maxSourceFile = 16 << 20

// SourceFiles reads files out of a tarball; those that are not there are left
// out. names are paths below the tarball's top directory.
func SourceFiles(tarball string, r io.Reader, names []string) (map[string][]byte, error) {
	tarball = path.Base(tarball)
	plain, closer, err := openTarball(tarball, r)
	if err != nil {
		return nil, fmt.Errorf("reading source %q: %w", tarball, err)
	}
	defer closer()
	found := map[string][]byte{}
	for t := tar.NewReader(plain); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading source %q: %w: fetch the source again or check that its name fits its content", tarball, err)
		}
		_, name, _ := strings.Cut(path.Clean(h.Name), "/")
		if h.Typeflag != tar.TypeReg || !slices.Contains(names, name) {
			continue
		}
		if found[name], err = io.ReadAll(io.LimitReader(t, maxSourceFile)); err != nil {
			return nil, fmt.Errorf("reading %q of source %q: %w: fetch the source again", name, tarball, err)
		}
	}
}
