package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// maxSnapshotAnswer bounds an answer of the snapshot service.
const maxSnapshotAnswer = 8 << 20

// Snapshot is a service that keeps every file an archive ever had (the
// interface of snapshot.debian.org). It names files by SHA-1, which proves
// nothing: whoever downloads them checks the SHA-256 of the lock.
type Snapshot struct {
	Root       string     // Mirrors.Snapshot.URL; empty: there is none
	Downloader Downloader // nil: NewHTTPDownloader()
}

// ErrNoSnapshot says that the snapshot service is switched off.
var ErrNoSnapshot = errors.New("the snapshot service is switched off (RISCV_BUILD_SNAPSHOT=none)")

type snapshotAnswer struct {
	Result   json.RawMessage           `json:"result"`
	FileInfo map[string][]snapshotFile `json:"fileinfo"`
}

type snapshotFile struct {
	Name string `json:"name"`
	Size int64  `json:"size"`
}

// SnapshotURLs gives the addresses of a locked package that has left the
// mirrors, found by name, version and architecture.
func (s Snapshot) SnapshotURLs(ctx context.Context, pkg lock.Package) ([]string, error) {
	var answer snapshotAnswer
	query := "/mr/binary/" + url.PathEscape(pkg.Name) + "/" + url.PathEscape(pkg.Version) + "/binfiles?fileinfo=1"
	if err := s.get(ctx, query, &answer); err != nil {
		return nil, fmt.Errorf("looking for package %q in the snapshot service: %w", pkg.ID, err)
	}
	var binaries []struct {
		Architecture string `json:"architecture"`
		Hash         string `json:"hash"`
	}
	if err := json.Unmarshal(answer.Result, &binaries); err != nil {
		return nil, fmt.Errorf("looking for package %q in the snapshot service: reading its answer: %w: check %s", pkg.ID, err, EnvSnapshot)
	}
	var hashes []string
	for _, b := range binaries {
		if b.Architecture == pkg.Arch {
			hashes = append(hashes, b.Hash)
		}
	}
	urls := s.files(answer, hashes, func(f snapshotFile) bool { return pkg.Size == 0 || f.Size == pkg.Size })
	if len(urls) == 0 {
		return nil, fmt.Errorf("looking for package %q in the snapshot service %s: %w: update the lock with `riscv-build lock --update`", pkg.ID, s.Root, ErrNotFound)
	}
	return urls, nil
}

// SourceURLs gives the addresses of a file of a source package that has left
// the mirrors, from its pool path ("pool/main/n/nginx/nginx_1.26.3-3.dsc",
// with or without "debian:"). size is its size in bytes, 0 for unknown.
func (s Snapshot) SourceURLs(ctx context.Context, poolPath string, size int64) ([]string, error) {
	file := path.Base(poolPath)
	name, rest, ok := strings.Cut(file, "_")
	if !ok {
		return nil, fmt.Errorf("looking for source file %q in the snapshot service: its name is not NAME_VERSION...: check the recipe", file)
	}
	versions, err := s.sourceVersions(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("looking for source file %q in the snapshot service: %w", file, err)
	}
	for _, v := range versions {
		// A file name has no epoch, and an .orig tarball no revision.
		_, plain, epoch := strings.Cut(v, ":")
		if !epoch {
			plain = v
		}
		up := plain
		if i := strings.LastIndexByte(plain, '-'); i >= 0 {
			up = plain[:i]
		}
		if !strings.HasPrefix(rest, plain+".") && !strings.HasPrefix(rest, up+".orig") {
			continue
		}
		urls, err := s.sourceFiles(ctx, name, v, snapshotFile{file, size})
		if err != nil {
			return nil, fmt.Errorf("looking for source file %q in the snapshot service: %w", file, err)
		}
		if len(urls) > 0 {
			return urls, nil
		}
	}
	return nil, fmt.Errorf("looking for source file %q in the snapshot service %s: %w: name a version that the archive has", file, s.Root, ErrNotFound)
}

func (s Snapshot) sourceVersions(ctx context.Context, name string) ([]string, error) {
	var answer snapshotAnswer
	if err := s.get(ctx, "/mr/package/"+url.PathEscape(name)+"/", &answer); err != nil {
		return nil, err
	}
	var results []struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(answer.Result, &results); err != nil {
		return nil, fmt.Errorf("reading its answer: %w: check %s", err, EnvSnapshot)
	}
	var out []string
	for _, r := range results {
		out = append(out, r.Version)
	}
	return out, nil
}

func (s Snapshot) sourceFiles(ctx context.Context, name, version string, want snapshotFile) ([]string, error) {
	var answer snapshotAnswer
	query := "/mr/package/" + url.PathEscape(name) + "/" + url.PathEscape(version) + "/srcfiles?fileinfo=1"
	if err := s.get(ctx, query, &answer); err != nil {
		return nil, err
	}
	var hashes []string
	for hash := range answer.FileInfo {
		hashes = append(hashes, hash)
	}
	return s.files(answer, hashes, func(f snapshotFile) bool {
		return f.Name == want.Name && (want.Size == 0 || f.Size == want.Size)
	}), nil
}

// files gives the addresses of those hashes that have a file of the kind wanted.
func (s Snapshot) files(answer snapshotAnswer, hashes []string, wanted func(snapshotFile) bool) []string {
	slices.Sort(hashes)
	var urls []string
	for _, hash := range slices.Compact(hashes) {
		if slices.ContainsFunc(answer.FileInfo[hash], wanted) {
			urls = append(urls, joinURL(s.Root, "file/"+hash))
		}
	}
	return urls
}

func (s Snapshot) get(ctx context.Context, query string, answer *snapshotAnswer) error {
	if s.Root == "" {
		return ErrNoSnapshot
	}
	d := s.Downloader
	if d == nil {
		d = NewHTTPDownloader()
	}
	file, _, _ := strings.Cut(query, "?")
	data, bad := fetchTwice(ctx, d, remoteFile{url: s.Root + query, path: file, size: -1, limit: maxSnapshotAnswer})
	if bad != nil {
		return bad
	}
	if err := json.Unmarshal(data, answer); err != nil {
		return fmt.Errorf("reading its answer: %w: check %s", err, EnvSnapshot)
	}
	return nil
}
