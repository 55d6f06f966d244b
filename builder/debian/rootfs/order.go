package rootfs

import (
	"cmp"
	"slices"
	"strings"

	deps "pault.ag/go/debian/dependency"
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
	have, err := version.Parse(other.fields.get("Version"))
	if err != nil {
		return false
	}
	// By itself each: one that cannot be read must not hide the others.
	for item := range strings.SplitSeq(obsolete.Replace(text), ",") {
		relations, err := deps.Parse(item)
		if err != nil {
			continue
		}
		for _, p := range relations.GetAllPossibilities() {
			forArch := p.Arch == nil || p.Arch.String() == "any" || p.Arch.String() == other.pkg.Arch
			if p.Name == other.pkg.Name && forArch && (p.Version == nil || p.Version.SatisfiedBy(have)) {
				return true
			}
		}
	}
	return false
}

// obsolete writes the operators "<" and ">" as dpkg understands them.
var obsolete = strings.NewReplacer("(<<", "(<<", "(<=", "(<=", "(<", "(<=", "(>>", "(>>", "(>=", "(>=", "(>", "(>=")
