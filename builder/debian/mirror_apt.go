package debian

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// aptMirrors reads the apt sources below root. Files that cannot be read or
// parsed are passed over with a note: they belong to the host, not to us.
func aptMirrors(root string, note func(string, ...any)) (Mirrors, error) {
	if root == "" {
		root = "/"
	}
	if note == nil {
		note = func(string, ...any) {}
	}
	etc := filepath.Join(root, "etc", "apt")
	files := []string{filepath.Join(etc, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(etc, "sources.list.d", pattern))
		if err != nil {
			return Mirrors{}, fmt.Errorf("listing apt sources below %q: %w: name a mirror with --mirror", etc, err)
		}
		files = append(files, found...)
	}
	slices.Sort(files)
	var m Mirrors
	for _, file := range files {
		roots, err := readAptFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			note("passing over apt sources %q: %v", file, err)
		}
		for _, r := range roots {
			m.add(r)
		}
	}
	m.Debian, m.Security = unique(m.Debian), unique(m.Security)
	return m, nil
}

// add keeps a root whose path is that of a Debian archive.
func (m *Mirrors) add(r Mirror) {
	clean, err := cleanRoot(r.URL)
	if err != nil {
		return // cdrom:, file:, mirror+http: and the like
	}
	r.URL = clean
	switch {
	case strings.HasSuffix(clean, "/debian"):
		m.Debian = append(m.Debian, r)
	case strings.HasSuffix(clean, "/debian-security"):
		m.Security = append(m.Security, r)
	}
}

func readAptFile(file string) ([]Mirror, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if strings.HasSuffix(file, ".sources") {
		return parseDeb822Sources(f, file)
	}
	return parseListSources(f, file)
}

// parseListSources reads the one-line style: deb [options] URI SUITE COMPONENT...
func parseListSources(r io.Reader, file string) ([]Mirror, error) {
	var out []Mirror
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || (rest[0] != ' ' && rest[0] != '\t') {
			continue // deb-src, blank
		}
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			if _, rest, ok = strings.Cut(rest, "]"); !ok {
				continue
			}
		}
		if fields := strings.Fields(rest); len(fields) >= 2 {
			out = append(out, Mirror{URL: fields[0], From: fmt.Sprintf("%s:%d", file, n)})
		}
	}
	return out, lines.Err()
}

// parseDeb822Sources reads the stanza style; each stanza may name several URIs.
func parseDeb822Sources(r io.Reader, file string) ([]Mirror, error) {
	var out []Mirror
	stanzas := newStanzas(r, "enabled", "types", "uris")
	for {
		v, err := stanzas.next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		if off := strings.ToLower(v[0]); off == "no" || off == "false" || off == "0" {
			continue
		}
		if !slices.Contains(strings.Fields(v[1]), "deb") {
			continue
		}
		for _, uri := range strings.Fields(v[2]) {
			out = append(out, Mirror{URL: uri, From: file})
		}
	}
}
