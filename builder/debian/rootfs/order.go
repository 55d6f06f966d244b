package rootfs

import (
	"cmp"
	"slices"
	"strings"

	"pault.ag/go/debian/version"
)

// first are unpacked before all others: they make the directories and links
// that the rest is placed in, with the modes that count.
var first = []string{"base-files", "base-passwd", "libc6"}

func rank(i *info) int {
	if n := slices.Index(first, i.pkg.Name); n >= 0 {
		return n
	}
	return len(first)
}

// ordered gives the order of unpacking: the fixed first ones, then by ID, but
// a package before those it Replaces, because the file that comes first stays.
func ordered(infos []*info) []*info {
	byID := slices.Clone(infos)
	slices.SortFunc(byID, func(a, b *info) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.pkg.ID, b.pkg.ID))
	})
	replacers := map[*info][]*info{}
	for _, victim := range byID {
		for _, r := range byID {
			if r != victim && r.replaces(victim) {
				replacers[victim] = append(replacers[victim], r)
			}
		}
	}
	var out []*info
	seen := map[*info]bool{}
	var visit func(*info)
	visit = func(i *info) {
		if seen[i] {
			return
		}
		seen[i] = true
		for _, r := range replacers[i] {
			// The fixed first ones stay first whatever replaces them.
			if rank(i) == len(first) {
				visit(r)
			}
		}
		out = append(out, i)
	}
	for _, i := range byID {
		visit(i)
	}
	return out
}

// replaces tells whether i declares Replaces on the other package in just its
// version, so that i's files win over the other's.
func (i *info) replaces(other *info) bool {
	text := i.fields.get("Replaces")
	if !strings.Contains(text, other.pkg.Name) {
		return false
	}
	for _, item := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == '|' }) {
		name, bound, _ := strings.Cut(strings.TrimSpace(item), "(")
		name, arch, _ := strings.Cut(strings.TrimSpace(name), ":")
		if name != other.pkg.Name || arch != "" && arch != "any" && arch != other.pkg.Arch {
			continue
		}
		if bound == "" || inBound(other.fields.get("Version"), strings.TrimSuffix(strings.TrimSpace(bound), ")")) {
			return true
		}
	}
	return false
}

// inBound tells whether a version fulfils a bound such as "<< 1.2-3".
func inBound(have, bound string) bool {
	n := strings.LastIndexAny(bound, "<>=") + 1
	v, err1 := version.Parse(have)
	limit, err2 := version.Parse(strings.TrimSpace(bound[n:]))
	if err1 != nil || err2 != nil {
		return false
	}
	c := version.Compare(v, limit)
	switch strings.TrimSpace(bound[:n]) {
	case "<<":
		return c < 0
	case "<=", "<":
		return c <= 0
	case "=":
		return c == 0
	case ">=", ">":
		return c >= 0
	case ">>":
		return c > 0
	}
	return false
}
