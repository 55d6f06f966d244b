// Package rootfs turns Debian packages (.deb files) into one layer of a root
// filesystem: a deterministic, uncompressed tar. No maintainer script runs and
// nothing is emulated; what the scripts of Debian's essential packages would
// set up (accounts, alternatives, certificates, the dpkg database) is written
// by this package from the packages' own data.
//
// It does not choose packages (builder/debian does), does not download, and
// does not compress or describe images (builder/image does).
package rootfs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// formatVersion is part of every Key. Raise it with every change that changes
// the bytes of a layer, so that no cache serves a layer of older rules.
const formatVersion = 1

// Purpose says what a layer is for, which decides what is left out of it and
// how much of it is configured.
type Purpose int

const (
	// Runtime is an image that runs: the whole configuration and a dpkg
	// database; documentation, manual pages, translations and rare character
	// sets are left out.
	Runtime Purpose = iota
	// Toolchain is the root that compiles: accounts, alternatives and standard
	// directories, but no dpkg database, PAM stacks or CA bundle.
	Toolchain
	// Sysroot is a tree to compile and link against: files only, no
	// configuration of any kind.
	Sysroot
)

// String names the purpose for messages and keys.
func (p Purpose) String() string {
	switch p {
	case Runtime:
		return "runtime"
	case Toolchain:
		return "toolchain"
	case Sysroot:
		return "sysroot"
	}
	return fmt.Sprintf("purpose(%d)", int(p))
}

// Spec describes one layer. The order of its slices does not matter, but for
// Exclude, of which the last matching pattern decides.
type Spec struct {
	Packages []lock.Package // unpacked into this layer
	Below    []lock.Package // in the layers below: for the dpkg database, alternatives and generated lists
	Purpose  Purpose
	// Exclude adds path patterns to those of the purpose. A pattern is an
	// absolute path in which *, ? and [] match within one component and **
	// matches any number of components; without any of these it covers the path
	// and everything below. A leading ! takes matching paths back in.
	Exclude []string
	// Setuid lists absolute paths that keep their setuid or setgid bit; on all
	// other files these bits are dropped.
	Setuid []string
	// Unpacked leaves the layer as after `dpkg --unpack`: status "install ok
	// unpacked", maintainer scripts in place, nothing configured but the
	// accounts that the scripts themselves need, so that a later
	// `dpkg --configure -a` does the real configuration. Runtime only.
	Unpacked bool
}

// Blobs opens the .deb file of a package, whose bytes were verified before.
type Blobs interface {
	Open(lock.Package) (io.ReadSeekCloser, error)
}

// Content is one entry of a layer that is not a directory.
type Content struct {
	Path    string // absolute, every parent symbolic link resolved
	Package string // lock.Package.ID; empty for what was generated
	Link    string // target of a symbolic link as written; of a hard link the absolute path of its first name
	Mode    int64  // as st_mode: file type and permission bits
	Size    int64  // bytes; of a hard link those of its file
}

// File types in Content.Mode.
const (
	modeRegular = 0o100000
	modeSymlink = 0o120000
)

// Key is a digest (hex SHA-256) over everything that decides the bytes of the
// layer: equal keys mean equal layers.
func (s Spec) Key() string {
	names := func(pkgs []lock.Package) []string {
		out := make([]string, 0, len(pkgs))
		for _, p := range pkgs {
			out = append(out, p.ID+" "+p.SHA256)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	setuid := slices.Clone(s.Setuid)
	slices.Sort(setuid)
	doc, err := json.Marshal([]any{
		formatVersion, s.Purpose.String(), names(s.Packages), names(s.Below),
		append([]string{}, s.Exclude...), append([]string{}, setuid...), s.Unpacked,
	})
	if err != nil { // strings, numbers and booleans always marshal
		doc = []byte(err.Error())
	}
	sum := sha256.Sum256(doc)
	return hex.EncodeToString(sum[:])
}

// Write unpacks and configures the packages of a spec and writes the layer to
// w, streaming: memory stays bounded by a read-ahead of a few packages. It
// returns what the layer holds, sorted by path.
func Write(ctx context.Context, w io.Writer, spec Spec, blobs Blobs) ([]Content, error) {
	if spec.Unpacked && spec.Purpose != Runtime {
		return nil, fmt.Errorf("assembling a %s layer: only a runtime layer can be left unpacked: clear Unpacked", spec.Purpose)
	}
	b, err := newBuild(ctx, w, spec, blobs)
	if err != nil {
		return nil, err
	}
	if err := b.unpackAll(ctx); err != nil {
		return nil, err
	}
	if err := b.configure(ctx); err != nil {
		return nil, err
	}
	if err := b.layer.tw.Close(); err != nil {
		return nil, fmt.Errorf("finishing the %s layer: %w", spec.Purpose, err)
	}
	slices.SortFunc(b.layer.contents, func(x, y Content) int { return strings.Compare(x.Path, y.Path) })
	return b.layer.contents, nil
}
