// Package lock holds the lock: the exact bytes that the recipes of one
// directory are built from. One file per directory, riscv-build.lock, TOML,
// in a stable order, written by the first build and kept in version control
// by its owner. No network, no other package but recipes.
package lock

import "time"

// Name is the file name of a lock.
const Name = "riscv-build.lock"

// File is a lock file.
type File struct {
	Version  int       `toml:"version"` // 1
	Releases []Release `toml:"release"` // archive states the packages were resolved from
	Packages []Package `toml:"package"` // sorted by ID
	Sets     []Set     `toml:"set"`     // sorted by Name
	Recipes  []Recipe  `toml:"recipe"`  // sorted by Name
}

// Release is one signed archive state.
type Release struct {
	Suite   string    `toml:"suite"`   // as the recipe names it: trixie-security
	Path    string    `toml:"path"`    // directory that was consistent: dists/stable-security
	Archive string    `toml:"archive"` // debian | debian-security
	Date    time.Time `toml:"date"`
	Expired bool      `toml:"expired,omitempty"` // accepted because of allow_expired
}

// Package is one binary package, named by its bytes.
type Package struct {
	ID      string   `toml:"id"` // NAME_VERSION_ARCH, as in a pool file name without epoch escapes
	Name    string   `toml:"name"`
	Version string   `toml:"version"`
	Arch    string   `toml:"arch"`    // architecture of the .deb: riscv64, amd64, arm64, all
	Archive string   `toml:"archive"` // debian | debian-security
	Path    string   `toml:"path"`    // pool/main/...
	Size    int64    `toml:"size"`    // bytes
	SHA256  string   `toml:"sha256"`  // hex
	Depends []string `toml:"depends"` // IDs that satisfy Pre-Depends and Depends, sorted
}

// Set is the solution of one request: a closed set of packages.
// Names: "toolchain/cross/amd64", "toolchain/cross/arm64", "toolchain/riscv64" (compiler of the build host),
// "sysroot" (libc, libgcc, libstdc++ development files), "base/debian:minimal", "probe/amd64" ... (what tests connect with),
// and per recipe "tools/NAME/HOST", "sysroot/NAME", "image/NAME" and, where its base is another recipe's image, "below/NAME". A recipe's set holds the whole closure, the base set's packages included.
type Set struct {
	Name    string   `toml:"name"`
	Request []string `toml:"request"` // package names that were asked for, sorted
	Suites  []string `toml:"suites"`  // suites it was resolved from
	// Date is that of the archive state these packages were first resolved from,
	// and of an image that has no other; zero in older locks.
	Date     time.Time `toml:"date"`
	Packages []string  `toml:"packages"` // IDs, sorted
}

// Recipe is what one recipe uses.
type Recipe struct {
	Name    string   `toml:"name"`
	Inputs  string   `toml:"inputs"` // digest of what the lock depends on in the recipe; differs: the lock is stale
	Sources []Source `toml:"source"`
}

// Source is one locked source.
type Source struct {
	Name  string    `toml:"name"`
	Date  time.Time `toml:"date"` // newest changelog entry (dsc) or file (tarball), or the commit's (git): the image's date
	Files []Blob    `toml:"file"` // the .dsc first
}

// Blob is a file named by its bytes.
type Blob struct {
	URL     string   `toml:"url"` // https://..., debian:pool/..., git+https://...@COMMIT
	Mirrors []string `toml:"mirrors,omitempty"`
	Size    int64    `toml:"size"`
	SHA256  string   `toml:"sha256"`
}
