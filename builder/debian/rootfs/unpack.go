package rootfs

import (
	"archive/tar"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// build is one run of Write.
type build struct {
	spec  Spec
	blobs Blobs
	layer *layer
	pkgs  []*info // of the layer, in the order of unpacking
	below []*info // sorted by ID; empty for a sysroot
	state map[*info]*unpacked
	kept  map[string][]byte // files that the configuration reads, by absolute path
}

// unpacked is what the dpkg database says of one package's files.
type unpacked struct {
	shipped []shipped
	sums    map[string]string // MD5, hex, of conffiles, or of all files where the package brings no list
	aliases map[string]string // hard links: path in the package -> path in the layer, where these differ
}

// shipped is one entry of a package: its path there and in the layer.
type shipped struct {
	name, at string
	dir      bool
}

func newBuild(ctx context.Context, w io.Writer, spec Spec, blobs Blobs) (*build, error) {
	b := &build{spec: spec, blobs: blobs, state: map[*info]*unpacked{}, kept: map[string][]byte{}}
	var err error
	if b.layer, err = newLayer(w, spec); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	read := func(p lock.Package, to *[]*info) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if seen[p.ID] {
			return nil
		}
		seen[p.ID] = true
		i, err := readInfo(blobs, p)
		*to = append(*to, i)
		return err
	}
	for _, p := range spec.Packages {
		if err := read(p, &b.pkgs); err != nil {
			return nil, err
		}
	}
	b.pkgs = ordered(b.pkgs)
	if spec.Purpose != Sysroot {
		for _, p := range spec.Below {
			if err := read(p, &b.below); err != nil {
				return nil, err
			}
		}
		b.below = ordered(b.below)
	}
	b.assumeLinks()
	for _, p := range spec.Setuid {
		at, err := b.layer.resolve(strings.TrimPrefix(p, "/"), false)
		if err != nil {
			return nil, fmt.Errorf("keeping the setuid bit of %q: %w", p, err)
		}
		b.layer.setuid[at] = true
	}
	return b, nil
}

// merged are the directories that lie under /usr since Debian 12.
var merged = []string{"bin", "sbin", "lib", "lib32", "lib64", "libo32", "libx32"}

// assumeLinks places the links that all paths of the layer must respect,
// whichever layer holds them.
func (b *build) assumeLinks() {
	for _, d := range merged {
		b.layer.assume(d, "usr/"+d)
	}
	if b.spec.Unpacked || b.spec.Purpose == Sysroot {
		return // base-files' own script turns the directories into links
	}
	if b.find("base-files") != nil {
		b.layer.assume("var/run", "/run")
		b.layer.assume("var/lock", "/run/lock")
	}
}

// find looks for a package in the layer and below.
func (b *build) find(name string) *info {
	for _, set := range [][]*info{b.pkgs, b.below} {
		for _, i := range set {
			if i.pkg.Name == name {
				return i
			}
		}
	}
	return nil
}

// unpackAll copies all packages into the layer, decompressing ahead.
func (b *build) unpackAll(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	started := make([]*ahead, 0, len(b.pkgs))
	defer func() {
		cancel()
		for _, a := range started {
			a.wait()
		}
	}()
	for n, i := range b.pkgs {
		for len(started) < len(b.pkgs) && len(started) <= n+aheadPackages {
			started = append(started, b.decompress(ctx, b.pkgs[len(started)].pkg))
		}
		if err := b.unpack(i, started[n]); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("unpacking package %q: %w", i.pkg.ID, err)
		}
	}
	return ctx.Err()
}

// decompress starts to read the data archive of a package.
func (b *build) decompress(ctx context.Context, p lock.Package) *ahead {
	return startAhead(ctx, func() (io.ReadCloser, error) { return openData(b.blobs, p) })
}

// dataReader closes the decoder and the file under it.
type dataReader struct {
	io.ReadCloser
	file io.Closer
}

func (d dataReader) Close() error { return errors.Join(d.ReadCloser.Close(), d.file.Close()) }

// openData opens the data archive of a package.
func openData(blobs Blobs, p lock.Package) (io.ReadCloser, error) {
	a, err := openArchive(blobs, p)
	if err != nil {
		return nil, err
	}
	r, err := a.open(a.data)
	if err != nil {
		return nil, errors.Join(damaged(p, err), a.Close())
	}
	return dataReader{r, a}, nil
}

// unpack copies one package into the layer.
func (b *build) unpack(i *info, data io.Reader) error {
	u := &unpacked{sums: map[string]string{}, aliases: map[string]string{}}
	b.state[i] = u
	wantSum := map[string]bool{}
	for _, c := range i.conffiles() {
		wantSum[c] = true
	}
	_, listed := i.files["md5sums"]
	r := tar.NewReader(data)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("data archive: %w: fetch the package again", err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader {
			continue
		}
		name, err := entryName(h.Name)
		if err != nil {
			return err
		}
		e := &entry{info: i, u: u, h: *h, name: name, body: r}
		if h.Typeflag == tar.TypeReg && (!listed || wantSum["/"+name]) {
			e.sum = md5.New()
		}
		if err := b.place(e); err != nil {
			return err
		}
		if e.sum != nil {
			u.sums["/"+name] = hex.EncodeToString(e.sum.Sum(nil))
		}
	}
	// What follows the end of the tar is padding; reading it checks the sums of the compression.
	if _, err := io.Copy(io.Discard, data); err != nil {
		return fmt.Errorf("data archive: %w: fetch the package again", err)
	}
	return nil
}

// entryName cleans the path of an entry and refuses those that would lead out
// of the root.
func entryName(raw string) (string, error) {
	for _, part := range strings.Split(raw, "/") {
		if part == ".." {
			return "", fmt.Errorf("the path %q leads out of the root: do not use this package", raw)
		}
	}
	if strings.HasPrefix(raw, "/") || strings.ContainsAny(raw, "\n\x00") {
		return "", fmt.Errorf("the path %q is absolute or holds a line break: do not use this package", raw)
	}
	if raw = path.Clean(raw); raw == "." {
		return "", nil
	}
	return raw, nil
}

// entry is one entry of a data archive on its way into the layer.
type entry struct {
	info *info
	u    *unpacked
	h    tar.Header
	name string // in the package
	body io.Reader
	sum  hash.Hash
}

// place puts an entry where dpkg would: below resolved parents, not where
// something else stays.
func (b *build) place(e *entry) error {
	if e.name == "" {
		return nil
	}
	at, err := b.layer.resolve(e.name, false)
	if err != nil {
		return err
	}
	e.h.Name = at
	e.u.shipped = append(e.u.shipped, shipped{e.name, at, e.h.Typeflag == tar.TypeDir})
	if e.sum != nil {
		e.body = io.TeeReader(e.body, e.sum)
	}
	if err := b.keep(e); err != nil {
		return err
	}
	if b.layer.filter.excludes(at) {
		if e.h.Typeflag == tar.TypeDir {
			if _, ok := b.layer.left[at]; !ok {
				b.layer.left[at] = e.h
			}
		}
		return e.drain()
	}
	stays, err := b.occupied(e)
	if err != nil {
		return err
	}
	if stays {
		return e.drain()
	}
	switch e.h.Typeflag {
	case tar.TypeDir, tar.TypeSymlink, tar.TypeReg:
		return b.layer.put(e.h, e.info, e.body)
	case tar.TypeLink:
		return b.placeLink(e)
	}
	return fmt.Errorf("%q is a device or pipe, which no layer holds: do not use this package", "/"+e.name)
}

// drain reads what does not enter the layer, for the sake of its sum.
func (e *entry) drain() error {
	if e.sum == nil {
		return nil
	}
	_, err := io.Copy(io.Discard, e.body)
	return err
}
