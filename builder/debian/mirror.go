package debian

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
)

// Names of the archives, as they stand in lock.Package.Archive.
const (
	ArchiveDebian   = "debian"
	ArchiveSecurity = "debian-security"
)

// Environment variables that choose mirrors.
const (
	EnvMirror   = "RISCV_BUILD_MIRROR"          // comma list of archive roots, e.g. http://mirror.example/debian
	EnvSecurity = "RISCV_BUILD_SECURITY_MIRROR" // comma list of roots of the security archive
	EnvSnapshot = "RISCV_BUILD_SNAPSHOT"        // root of a snapshot service; "none" switches it off
)

const defaultSnapshot = "https://snapshot.debian.org"

// Scheme is the prefix of locations inside the archive: "debian:pool/main/...".
const Scheme = "debian:"

// Mirror is the root of one copy of an archive and where it was named.
type Mirror struct {
	URL  string // without trailing slash
	From string // "--mirror", "RISCV_BUILD_MIRROR", "/etc/apt/sources.list:3", "built-in list (de)", ...
}

// Mirrors are the mirrors of both archives in the order in which they are asked.
type Mirrors struct {
	Debian   []Mirror
	Security []Mirror
	Snapshot Mirror // URL empty: switched off
}

// DiscoverOptions say where mirrors may be named. The zero value asks the
// environment, the host's apt sources and the built-in list.
type DiscoverOptions struct {
	Flag   []string                         // --mirror; a URL that ends in /debian-security names the security archive
	Config []string                         // of the configuration file, read in the same way
	Getenv func(key string) string          // nil: os.Getenv
	Root   string                           // directory that holds etc/apt; empty: "/"
	Note   func(format string, args ...any) // told about sources that are passed over; nil: nobody
}

// Discover finds the mirrors: flag, then environment, then configuration,
// then the host's own apt sources followed by a built-in list (design
// section 5). Mirrors named by flag, environment or configuration are the
// only ones asked for their archive; a security mirror that nobody named is
// looked for beside the named mirror first.
func Discover(opt DiscoverOptions) (Mirrors, error) {
	getenv := opt.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	levels := []namedList{
		{"--mirror", opt.Flag},
		{EnvSecurity, splitList(getenv(EnvSecurity))},
		{EnvMirror, splitList(getenv(EnvMirror))},
		{"configuration", opt.Config},
	}
	var m Mirrors
	for i, l := range levels {
		named, err := l.parse(i == 1)
		if err != nil {
			return Mirrors{}, err
		}
		if len(m.Debian) == 0 {
			m.Debian = named.Debian
		}
		if len(m.Security) == 0 {
			m.Security = named.Security
		}
	}
	if err := m.complete(opt, getenv); err != nil {
		return Mirrors{}, err
	}
	snapshot, err := discoverSnapshot(getenv(EnvSnapshot))
	m.Snapshot = snapshot
	return m, err
}

// complete fills the archives that nobody named.
func (m *Mirrors) complete(opt DiscoverOptions, getenv func(string) string) error {
	if len(m.Debian) > 0 && len(m.Security) > 0 {
		return nil
	}
	host, err := aptMirrors(opt.Root, opt.Note)
	if err != nil {
		return err
	}
	fallback := builtinMirrors(getenv)
	if len(m.Debian) == 0 {
		m.Debian = unique(host.Debian, fallback.Debian)
		if len(m.Security) == 0 {
			m.Security = unique(host.Security, siblings(host.Debian), fallback.Security)
		}
		return nil
	}
	m.Security = unique(siblings(m.Debian), host.Security, fallback.Security)
	return nil
}

// With puts further mirrors, such as those of a recipe, before the others.
// from says who named them.
func (m Mirrors) With(roots []string, from string) (Mirrors, error) {
	named, err := namedList{from, roots}.parse(false)
	if err != nil {
		return Mirrors{}, err
	}
	near := named.Security
	if len(near) == 0 {
		near = siblings(named.Debian)
	}
	m.Debian = unique(named.Debian, m.Debian)
	m.Security = unique(near, m.Security)
	return m, nil
}

// URLs gives the addresses of a file, such as a pool path, in an archive
// (ArchiveDebian or ArchiveSecurity), in the order to try them.
func (m Mirrors) URLs(archive, path string) []string {
	var urls []string
	for _, mirror := range m.of(archive) {
		urls = append(urls, joinURL(mirror.URL, path))
	}
	return urls
}

// Resolve gives the addresses of "debian:pool/...": those in the debian
// archive, then those in the security archive; only the latter for
// pool/updates/, which exists nowhere else. Any other URL is given back as it is.
func (m Mirrors) Resolve(location string) []string {
	path, ok := strings.CutPrefix(location, Scheme)
	if !ok {
		return []string{location}
	}
	path = strings.TrimLeft(path, "/")
	security := m.URLs(ArchiveSecurity, path)
	if strings.HasPrefix(path, "pool/updates/") {
		return security
	}
	return append(m.URLs(ArchiveDebian, path), security...)
}

// of gives the mirrors of an archive.
func (m Mirrors) of(archive string) []Mirror {
	if archive == ArchiveSecurity {
		return m.Security
	}
	return m.Debian
}

// namedList is a list of roots and where it stands.
type namedList struct {
	from  string
	roots []string
}

// parse checks the roots and tells the two archives apart.
func (l namedList) parse(security bool) (Mirrors, error) {
	var m Mirrors
	for _, root := range l.roots {
		clean, err := cleanRoot(root)
		if err != nil {
			return Mirrors{}, fmt.Errorf("reading mirror %q of %s: %w: give the root of an archive, such as http://mirror.example/debian", root, l.from, err)
		}
		mirror := Mirror{URL: clean, From: l.from}
		if security || strings.HasSuffix(clean, "-security") {
			m.Security = append(m.Security, mirror)
		} else {
			m.Debian = append(m.Debian, mirror)
		}
	}
	return m, nil
}

func cleanRoot(root string) (string, error) {
	root = strings.TrimRight(strings.TrimSpace(root), "/")
	u, err := url.Parse(root)
	if err != nil {
		return "", err
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("scheme %q is not http or https", u.Scheme)
	}
	if u.Host == "" {
		return "", fmt.Errorf("no host in it")
	}
	return root, nil
}

func discoverSnapshot(env string) (Mirror, error) {
	switch env {
	case "":
		return Mirror{URL: defaultSnapshot, From: "built-in"}, nil
	case "none":
		return Mirror{From: EnvSnapshot}, nil
	}
	clean, err := cleanRoot(env)
	if err != nil {
		return Mirror{}, fmt.Errorf("reading snapshot service %q of %s: %w: give its root, such as http://snapshot.example, or \"none\"", env, EnvSnapshot, err)
	}
	return Mirror{URL: clean, From: EnvSnapshot}, nil
}

// siblings gives the security archives that stand beside mirrors.
func siblings(mirrors []Mirror) []Mirror {
	var out []Mirror
	for _, m := range mirrors {
		if base, ok := strings.CutSuffix(m.URL, "/debian"); ok {
			out = append(out, Mirror{URL: base + "/debian-security", From: "beside " + m.From})
		}
	}
	return out
}

// unique joins lists and keeps the first of equal URLs.
func unique(lists ...[]Mirror) []Mirror {
	var out []Mirror
	for _, m := range slices.Concat(lists...) {
		if !slices.ContainsFunc(out, func(o Mirror) bool { return o.URL == m.URL }) {
			out = append(out, m)
		}
	}
	return out
}

func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func joinURL(root, path string) string {
	parts := strings.Split(strings.TrimLeft(path, "/"), "/")
	for i, p := range parts {
		// "+" and "~" are common in pool paths; PathEscape leaves both, and
		// mirrors store epochs and the like under their plain names.
		parts[i] = url.PathEscape(p)
	}
	return root + "/" + strings.Join(parts, "/")
}
