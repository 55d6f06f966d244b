package rootfs

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// slave is a link that follows the choice of its alternative.
type slave struct{ link, name, path string }

// alternative is one `update-alternatives --install` of a maintainer script.
type alternative struct {
	link, name, path string
	priority         int
	slaves           []slave
	owner            *info
}

// parseAlternatives finds the calls of update-alternatives in a postinst. Only
// what is written out counts: a call with a shell variable in its first four
// words is passed over, and slaves end at the first word that is not literal.
func parseAlternatives(script string) []alternative {
	var out []alternative
	for _, l := range strings.Split(strings.ReplaceAll(script, "\\\n", " "), "\n") {
		l = strings.TrimSpace(l)
		at := strings.Index(l, "update-alternatives ")
		if at < 0 || strings.HasPrefix(l, "#") {
			continue
		}
		words := shellWords(l[at+len("update-alternatives "):])
		for len(words) > 0 && strings.HasPrefix(words[0], "--") && words[0] != "--install" {
			words = words[1:] // --quiet, --force and the like
		}
		if len(words) < 5 || words[0] != "--install" || !path.IsAbs(words[1]) || !path.IsAbs(words[3]) || strings.Contains(words[2], "/") {
			continue
		}
		priority, err := strconv.Atoi(words[4])
		if err != nil {
			continue
		}
		a := alternative{link: words[1], name: words[2], path: words[3], priority: priority}
		for w := words[5:]; len(w) >= 4 && w[0] == "--slave" && path.IsAbs(w[1]) && path.IsAbs(w[3]) && !strings.Contains(w[2], "/"); w = w[4:] {
			a.slaves = append(a.slaves, slave{w[1], w[2], w[3]})
		}
		out = append(out, a)
	}
	return out
}

// shellWords splits a command into words up to its end or the first word that
// the shell would have to compute.
func shellWords(text string) []string {
	var out []string
	var word strings.Builder
	quote, open := rune(0), false
	for _, c := range text {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '$' && quote != '\'' || c == '`' && quote != '\'' || c == '\\':
			return out
		case quote != 0:
			word.WriteRune(c)
		case c == '\'' || c == '"':
			quote, open = c, true
		case c == ' ' || c == '\t':
			if open {
				out = append(out, word.String())
				word.Reset()
				open = false
			}
		case strings.ContainsRune(";&|()<>#", c) && (c != '#' || !open):
			if open {
				out = append(out, word.String())
			}
			return out
		default:
			word.WriteRune(c)
			open = true
		}
	}
	if open && quote == 0 {
		out = append(out, word.String())
	}
	return out
}

// there tells whether a path of an alternative exists. What layers below hold
// is known by what a package leaves out of any layer.
func (b *build) there(a alternative, name string) bool {
	if b.layer.exists(name) != nil {
		return true
	}
	if _, here := b.state[a.owner]; here {
		return false
	}
	at, err := b.layer.resolve(strings.TrimPrefix(name, "/"), false)
	return err == nil && !b.layer.filter.excludes(at)
}

// alternatives links each name that a package of the layer offers to the
// program of the highest priority, those of the layers below included.
func (b *build) alternatives() error {
	groups := map[string][]alternative{}
	touched := map[string]bool{}
	for n, i := range append(slices.Clone(b.pkgs), b.below...) {
		for _, a := range parseAlternatives(string(i.files["postinst"])) {
			a.owner = i
			if !b.there(a, a.path) {
				continue
			}
			if n < len(b.pkgs) {
				touched[a.name] = true
			}
			groups[a.name] = append(groups[a.name], a)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(touched)) {
		if err := b.choose(groups[name]); err != nil {
			return err
		}
	}
	return nil
}

// choose writes the links of one alternative and its record.
func (b *build) choose(group []alternative) error {
	slices.SortStableFunc(group, func(x, y alternative) int {
		return cmp.Or(cmp.Compare(y.priority, x.priority), strings.Compare(x.path, y.path))
	})
	group = slices.CompactFunc(group, func(x, y alternative) bool { return x.path == y.path })
	best := group[0]
	if n := b.layer.exists(best.link); n != nil && n != b.layer.exists(best.path) {
		return nil // a package ships the link's place itself, as update-alternatives would find
	}
	err := b.layer.addAll(
		generated{path: "/etc/alternatives/" + best.name, link: best.path},
		generated{path: best.link, link: "/etc/alternatives/" + best.name},
	)
	if err != nil {
		return err
	}
	for _, s := range best.slaves {
		if !b.there(best, s.path) {
			continue
		}
		err := b.layer.addAll(
			generated{path: "/etc/alternatives/" + s.name, link: s.path},
			generated{path: s.link, link: "/etc/alternatives/" + s.name},
		)
		if err != nil {
			return err
		}
	}
	if b.spec.Purpose != Runtime {
		return nil
	}
	return b.layer.add(generated{path: "/var/lib/dpkg/alternatives/" + best.name, body: recordOf(group)})
}

// recordOf is update-alternatives' own state file of a group: mode, link,
// slaves, an empty line, then every choice with its priority and slave paths.
func recordOf(group []alternative) []byte {
	links := map[string]string{}
	for _, a := range group {
		for _, s := range a.slaves {
			if _, ok := links[s.name]; !ok {
				links[s.name] = s.link
			}
		}
	}
	names := slices.Sorted(maps.Keys(links))
	out := "auto\n" + group[0].link + "\n"
	for _, n := range names {
		out += n + "\n" + links[n] + "\n"
	}
	out += "\n"
	slices.SortFunc(group, func(x, y alternative) int { return strings.Compare(x.path, y.path) })
	for _, a := range group {
		out += fmt.Sprintf("%s\n%d\n", a.path, a.priority)
		for _, n := range names {
			i := slices.IndexFunc(a.slaves, func(s slave) bool { return s.name == n })
			if i >= 0 {
				out += a.slaves[i].path
			}
			out += "\n"
		}
	}
	return []byte(out + "\n")
}
