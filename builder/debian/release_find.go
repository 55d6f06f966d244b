package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"

	"github.com/riscv-build/riscv-build/recipes/lock"
)

// maxInRelease bounds the one file whose size nobody has signed; Debian's has 150 kB.
const maxInRelease = 8 << 20

// maxIndex bounds an index; main has 10 MB compressed.
const maxIndex = 128 << 20

// finder finds, for a suite, a release directory that is signed, in date and
// consistent with its indexes.
type finder struct {
	opt   OpenOptions
	keys  openpgp.EntityList
	cache *indexCache
}

// found is the release directory that was chosen for a suite.
type found struct {
	suite   suite
	mirror  Mirror
	dir     string // dists/stable-security
	release *release
	expired bool
}

func (f *found) locked() lock.Release {
	return lock.Release{Suite: f.suite.name, Path: f.dir, Archive: f.suite.archive, Date: f.release.date, Expired: f.expired}
}

// find asks the mirrors in order, each for the suite's own directory and then
// for those that may hold an earlier state of the same codename: a mirror in
// the middle of a sync has a new Release beside old indexes in the one and
// a consistent pair in the other.
func (f *finder) find(ctx context.Context, s suite) (*found, error) {
	var tries []*ArchiveError
	for _, m := range f.opt.Mirrors.of(s.archive) {
		got, bad := f.onMirror(ctx, s, m)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("opening suite %q: %w", s.name, err)
		}
		tries = append(tries, bad...)
		if got != nil {
			f.report(got, tries)
			return got, nil
		}
		if slices.ContainsFunc(bad, func(e *ArchiveError) bool { return e.Kind == NotYetValid || e.Kind == Missing }) {
			break // true of every mirror
		}
	}
	return nil, newSuiteError(s, tries)
}

// onMirror looks for the suite in the directories of one mirror.
func (f *finder) onMirror(ctx context.Context, s suite, m Mirror) (*found, []*ArchiveError) {
	var tries []*ArchiveError
	dirs := s.directories()
	for i := 0; i < len(dirs); i++ {
		got, bad := f.inDirectory(ctx, s, m, "dists/"+dirs[i])
		if got != nil && bad == nil {
			return got, tries
		}
		if got != nil && !slices.Contains(dirs, got.release.codename) && validDirectory(got.release.codename) {
			dirs = append(dirs, got.release.codename) // the suite was named by its alias
		}
		if bad == nil || (i > 0 && bad.Kind == NotFound && strings.HasSuffix(bad.File, "/InRelease")) {
			continue // another codename's directory, or none: nothing is wrong with that
		}
		tries = append(tries, bad)
		if bad.Kind == Unreachable || bad.Kind == NotYetValid || bad.Kind == Missing || ctx.Err() != nil {
			break // the other directories would say the same
		}
	}
	return nil, tries
}

// validDirectory guards what a Release says before it becomes part of a URL.
func validDirectory(name string) bool {
	_, err := newSuite(name)
	return err == nil
}

// inDirectory reads one release directory. Both results are nil if it holds
// another suite; both are set if it is the suite's but cannot be used.
func (f *finder) inDirectory(ctx context.Context, s suite, m Mirror, dir string) (*found, *ArchiveError) {
	file := dir + "/InRelease"
	url := joinURL(m.URL, file)
	data, bad := fetchTwice(ctx, f.opt.Downloader, remoteFile{url: url, path: file, size: -1, limit: maxInRelease})
	if bad != nil {
		return nil, bad
	}
	rel, bad := verifyInRelease(data, f.keys, f.opt.Now())
	if bad != nil {
		bad.URL, bad.File = url, file
	}
	if rel == nil {
		return nil, bad
	}
	if !rel.names(s) {
		if dir != "dists/"+s.name {
			return nil, nil
		}
		return nil, &ArchiveError{Kind: Malformed, URL: url, File: file, Expected: fmt.Sprintf("suite or codename %q", s.name), Got: fmt.Sprintf("suite %q, codename %q", rel.suite, rel.codename)}
	}
	got := &found{suite: s, mirror: m, dir: dir, release: rel, expired: bad != nil}
	if bad != nil && !f.opt.AllowExpired {
		return got, bad
	}
	return got, f.indexes(ctx, got)
}

// indexes brings every index that is needed into the cache.
func (f *finder) indexes(ctx context.Context, r *found) *ArchiveError {
	for _, component := range f.opt.Components {
		for _, arch := range f.opt.Arches {
			files, err := r.release.packagesFor(component, arch)
			if err != nil {
				return &ArchiveError{Kind: Missing, URL: joinURL(r.mirror.URL, r.dir), File: r.dir + "/" + component + "/binary-" + arch, Err: err}
			}
			for _, file := range files {
				if bad := f.index(ctx, r, file); bad != nil {
					return bad
				}
			}
		}
	}
	return nil
}

// index brings one index into the cache: by its hash where the archive offers
// that, as such a file stays right in the middle of a sync, then by its name.
func (f *finder) index(ctx context.Context, r *found, file indexFile) *ArchiveError {
	if f.cache.has(file.sha256) {
		return nil
	}
	paths := []string{r.dir + "/" + file.path}
	if r.release.byHash {
		paths = slices.Insert(paths, 0, r.dir+"/"+path.Dir(file.path)+"/by-hash/SHA256/"+file.sha256)
	}
	var worst *ArchiveError
	for _, p := range paths {
		url := joinURL(r.mirror.URL, p)
		if file.size > maxIndex {
			return &ArchiveError{Kind: TooLarge, URL: url, File: p, Expected: fmt.Sprintf("at most %d bytes", maxIndex), Got: fmt.Sprintf("%d bytes", file.size)}
		}
		data, bad := fetchTwice(ctx, f.opt.Downloader, remoteFile{url: url, path: p, size: file.size})
		if bad == nil {
			bad = checkSum(data, url, p, file.sha256)
		}
		if bad == nil {
			if err := f.cache.put(file.sha256, data); err != nil {
				f.opt.Note("keeping index %q: %v", p, err)
			}
			return nil
		}
		if worst == nil || bad.Kind <= worst.Kind {
			worst = bad
		}
	}
	return worst
}

func checkSum(data []byte, url, file, want string) *ArchiveError {
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != want {
		return &ArchiveError{Kind: HashMismatch, URL: url, File: file, Expected: "sha256 " + want, Got: "sha256 " + got}
	}
	return nil
}

// fetchTwice fetches again what broke off.
func fetchTwice(ctx context.Context, d Downloader, file remoteFile) ([]byte, *ArchiveError) {
	data, bad := fetchFile(ctx, d, file)
	if bad != nil && bad.Kind == Truncated && ctx.Err() == nil {
		return fetchFile(ctx, d, file)
	}
	return data, bad
}

// report tells what was chosen, and why if it was not the first choice.
func (f *finder) report(r *found, tries []*ArchiveError) {
	for _, t := range tries {
		f.opt.Note("suite %s: passing over: %s", r.suite.name, strings.TrimPrefix(t.text(), "reading "))
	}
	f.opt.Note("suite %s: using %s of %s (%s), dated %s", r.suite.name, r.dir, r.mirror.URL, r.mirror.From, stamp(r.release.date))
	if r.expired {
		f.opt.Note("suite %s: its Release expired at %s; accepted because of allow_expired: security updates since then are not seen", r.suite.name, stamp(r.release.validUntil))
	}
}
