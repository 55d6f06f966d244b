package rootfs

import (
	"fmt"
	"path"
	"strings"
)

// What the purposes leave out, in the syntax of Spec.Exclude.
var (
	// Licences stay with the files they cover; a documentation directory can be
	// a link to that of another package.
	documentation = []string{
		"/usr/share/doc/**", "!/usr/share/doc/*", "!/usr/share/doc/*/copyright",
		"/usr/share/man/**", "/usr/share/info/**", "/usr/share/locale/**",
		"/usr/share/lintian", "/usr/share/linda", "/usr/share/bug", "/usr/share/groff", "/usr/share/doc-base",
		"/usr/share/gnome/help", "/usr/share/help",
	}
	// Character sets beyond those of Unicode, Western Europe and China are 5 MB
	// that hardly any server program converts.
	charsets = []string{
		"/usr/lib/*/gconv/*.so", "!/usr/lib/*/gconv/UTF-*.so", "!/usr/lib/*/gconv/UNICODE.so",
		"!/usr/lib/*/gconv/ISO8859-1.so", "!/usr/lib/*/gconv/ISO8859-15.so", "!/usr/lib/*/gconv/CP1252.so",
		"!/usr/lib/*/gconv/GB*.so", "!/usr/lib/*/gconv/EUC-CN.so", "!/usr/lib/*/gconv/BIG5*.so", "!/usr/lib/*/gconv/libGB.so",
	}
	// lto-dump is 50 MB for people who develop compilers.
	compilerDumps = []string{"/usr/bin/*lto-dump*"}
)

func defaultExclude(p Purpose) []string {
	switch p {
	case Runtime:
		return append(append([]string{}, documentation...), charsets...)
	case Toolchain:
		return append(append([]string{}, documentation...), compilerDumps...)
	}
	return documentation
}

// rule is one compiled pattern.
type rule struct {
	segments []string
	literal  string // leading part without wildcards, for a quick no
	subtree  bool   // covers everything below as well
	include  bool
}

// filter decides which paths stay out of a layer: the last matching rule.
type filter []rule

func newFilter(patterns []string) (filter, error) {
	var f filter
	for _, p := range patterns {
		r := rule{}
		text := p
		if rest, ok := strings.CutPrefix(p, "!"); ok {
			r.include, text = true, rest
		}
		if !strings.HasPrefix(text, "/") {
			return nil, fmt.Errorf("reading the path pattern %q: it is not absolute: begin it with a slash", p)
		}
		text = strings.Trim(path.Clean(text), "/")
		r.segments = strings.Split(text, "/")
		for _, s := range r.segments {
			if _, err := path.Match(s, ""); err != nil {
				return nil, fmt.Errorf("reading the path pattern %q: %w: close the bracket or escape it", p, err)
			}
		}
		if i := strings.IndexAny(text, `*?[\`); i >= 0 {
			r.literal = text[:i]
		} else {
			r.literal, r.subtree = text, true
		}
		f = append(f, r)
	}
	return f, nil
}

// excludes tells whether a path (relative to the root) stays out.
func (f filter) excludes(name string) bool {
	var segments []string
	for i := len(f) - 1; i >= 0; i-- {
		r := f[i]
		if !strings.HasPrefix(name, r.literal) {
			continue
		}
		if r.subtree {
			if len(name) == len(r.literal) || r.literal == "" || name[len(r.literal)] == '/' {
				return !r.include
			}
			continue
		}
		if segments == nil {
			segments = strings.Split(name, "/")
		}
		if matchSegments(r.segments, segments) {
			return !r.include
		}
	}
	return false
}

// matchSegments matches a pattern by components. A final ** wants at least one
// component, so that "/a/**" empties /a and keeps the directory.
func matchSegments(pattern, name []string) bool {
	for len(pattern) > 0 {
		if pattern[0] == "**" {
			if len(pattern) == 1 {
				return len(name) > 0
			}
			for i := range len(name) + 1 {
				if matchSegments(pattern[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(pattern[0], name[0]); err != nil || !ok {
			return false
		}
		pattern, name = pattern[1:], name[1:]
	}
	return len(name) == 0
}
