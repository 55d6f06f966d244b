package debian

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suite is a suite as the recipe names it.
type suite struct {
	name    string // trixie-security
	archive string // ArchiveDebian or ArchiveSecurity
}

// newSuite tells from the name which archive holds the suite.
func newSuite(name string) (suite, error) {
	if name == "" || strings.ContainsAny(name, "/ \t%?#") || strings.HasPrefix(name, ".") {
		return suite{}, fmt.Errorf("reading suite name %q: it is not one word: write, for example, trixie", name)
	}
	if strings.HasSuffix(name, "-security") {
		return suite{name, ArchiveSecurity}, nil
	}
	return suite{name, ArchiveDebian}, nil
}

// aliasNames are the directory names that point at a codename for a time.
var aliasNames = []string{"stable", "oldstable", "testing", "oldoldstable", "unstable"}

var suiteSuffixes = []string{"-security", "-updates", "-backports", "-proposed-updates"}

// directories gives the directories below dists/ that may hold the suite, its
// own first. Which of them really does, the signed Release says.
func (s suite) directories() []string {
	base, suffix := s.name, ""
	for _, sx := range suiteSuffixes {
		if b, ok := strings.CutSuffix(s.name, sx); ok {
			base, suffix = b, sx
			break
		}
	}
	out := []string{s.name}
	if slices.Contains(aliasNames, base) {
		return out // its codename is known once its Release is read
	}
	for _, a := range aliasNames {
		out = append(out, a+suffix)
	}
	return out
}

// release is a signed Release file.
type release struct {
	suite, codename string
	date            time.Time
	validUntil      time.Time // zero: never expires
	byHash          bool
	separateAll     bool // packages of architecture all stand in binary-all only
	files           map[string]indexFile
}

// indexFile is a file that a Release names.
type indexFile struct {
	path   string // below the release directory
	size   int64
	sha256 string
}

// names tells whether the Release is that of the suite.
func (r *release) names(s suite) bool { return r.codename == s.name || r.suite == s.name }

// parseRelease reads the text of a Release. A date and SHA256 sums are needed.
func parseRelease(text []byte) (*release, error) {
	v, err := newStanzas(bytes.NewReader(text), "suite", "codename", "date", "valid-until",
		"acquire-by-hash", "architectures", "no-support-for-architecture-all", "sha256").next()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}
	if err != nil {
		return nil, err
	}
	r := &release{suite: v[0], codename: v[1], byHash: strings.EqualFold(v[4], "yes")}
	// Where architecture-independent packages have an index of their own,
	// "all" is an architecture of the suite; archives that also repeat them
	// in every other index say so, and then that is what is read.
	r.separateAll = slices.Contains(strings.Fields(v[5]), "all") && !slices.Contains(strings.Fields(v[6]), "Packages")
	if r.date, err = parseDate(v[2]); err != nil {
		return nil, fmt.Errorf("reading field Date: %w", err)
	}
	if v[3] != "" {
		if r.validUntil, err = parseDate(v[3]); err != nil {
			return nil, fmt.Errorf("reading field Valid-Until: %w", err)
		}
	}
	if v[7] == "" {
		return nil, errors.New("it has no field SHA256")
	}
	r.files, err = parseSums(v[7])
	return r, err
}

// parseSums reads lines of digest, size and name.
func parseSums(field string) (map[string]indexFile, error) {
	files := map[string]indexFile{}
	for line := range strings.SplitSeq(strings.TrimSpace(field), "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("reading checksum line %q: it has not three words", line)
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fmt.Errorf("reading checksum line %q: %q is no size", line, f[1])
		}
		if sum, err := hex.DecodeString(f[0]); err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("reading checksum line %q: %q is no SHA-256", line, f[0])
		}
		files[f[2]] = indexFile{path: f[2], size: size, sha256: strings.ToLower(f[0])}
	}
	return files, nil
}

// parseDate reads the date format of Release files and changelogs.
func parseDate(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST"} {
		if t, err := time.Parse(layout, strings.Join(strings.Fields(s), " ")); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no date such as \"Sat, 12 Sep 2026 07:55:41 UTC\"", s)
}

// compressions of an index, the preferred first.
var compressions = []string{".xz", ".gz", ""}

// find gives the best form of an index, such as main/binary-riscv64/Packages.
func (r *release) find(path string) (indexFile, bool) {
	for _, ext := range compressions {
		if f, ok := r.files[path+ext]; ok {
			return f, true
		}
	}
	return indexFile{}, false
}

// packagesFor gives the indexes with the packages of an architecture in one
// component; it is an error if the suite has no such component or architecture.
func (r *release) packagesFor(component, arch string) ([]indexFile, error) {
	f, ok := r.find(component + "/binary-" + arch + "/Packages")
	if !ok {
		return nil, fmt.Errorf("no %s/binary-%s/Packages is listed", component, arch)
	}
	out := []indexFile{f}
	if r.separateAll {
		if all, ok := r.find(component + "/binary-all/Packages"); ok {
			out = append(out, all)
		}
	}
	return out, nil
}
