package rootfs

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// pamProfile is a file of /usr/share/pam-configs; field names keep their case,
// values of several lines are joined by newlines.
type pamProfile struct {
	name     string
	priority int
	fields   map[string]string
}

func parseProfile(name, text string) (pamProfile, error) {
	p := pamProfile{name: name, fields: map[string]string{}}
	key := ""
	for _, l := range strings.Split(text, "\n") {
		if strings.TrimSpace(l) == "" || strings.HasPrefix(l, "#") {
			continue
		}
		if l[0] == ' ' || l[0] == '\t' {
			p.fields[key] += strings.TrimSpace(l) + "\n"
			continue
		}
		var value string
		key, value, _ = strings.Cut(l, ":")
		if value = strings.TrimSpace(value); value != "" {
			value += "\n"
		}
		p.fields[key] = value
	}
	var err error
	if p.priority, err = strconv.Atoi(p.field("Priority")); err != nil {
		return p, fmt.Errorf("reading the PAM profile %q: its priority %q is no number: leave its package out", name, p.field("Priority"))
	}
	return p, nil
}

func (p pamProfile) field(name string) string { return strings.TrimSuffix(p.fields[name], "\n") }

// lines gives what a profile adds to a stack; the first of a stack has lines of its own.
func (p pamProfile) lines(section string, initial bool) string {
	if v := p.fields[section+"-Initial"]; initial && v != "" {
		return v
	}
	return p.fields[section]
}

// noPrimary stands in a stack without any primary module, so that the jump over
// the refusal that follows still happens.
const noPrimary = "[default=1]\t\t\tpam_permit.so\n"

// pamState is where pam-auth-update keeps what it wrote.
const pamState = "/var/lib/pam/"

// pamStack is one of the files that services include.
type pamStack struct {
	file    string // after common-
	module  string // type of its lines
	section string // prefix of the profile fields
}

var pamStacks = []pamStack{
	{"auth", "auth", "Auth"}, {"account", "account", "Account"}, {"password", "password", "Password"},
	{"session", "session", "Session"}, {"session-noninteractive", "session", "Session"},
}

// takes tells whether a profile belongs to the stack, in the given block.
func (s pamStack) takes(p pamProfile, block string) bool {
	if s.file == "session-noninteractive" && p.field("Session-Interactive-Only") == "yes" {
		return false
	}
	return p.field(s.section+"-Type") == block
}

// pam writes the common stacks from the templates and the profiles that are on
// by default, as pam-auth-update does on a first installation.
func (b *build) pam() error {
	var enabled, all []pamProfile
	for _, f := range b.keptIn("/usr/share/pam-configs") {
		p, err := parseProfile(path.Base(f), string(b.kept[f]))
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	slices.SortFunc(all, func(x, y pamProfile) int {
		return cmp.Or(cmp.Compare(y.priority, x.priority), strings.Compare(y.name, x.name))
	})
	seen := ""
	for _, p := range all {
		seen += p.name + "\n"
		if p.field("Default") == "yes" {
			enabled = append(enabled, p)
		}
	}
	enabled = withoutConflicts(enabled)
	for _, s := range pamStacks {
		template, ok := b.kept["/usr/share/pam/common-"+s.file]
		if !ok {
			continue
		}
		err := b.layer.addAll(
			generated{path: "/etc/pam.d/common-" + s.file, body: []byte(s.render(string(template), enabled))},
			generated{path: pamState + s.file, body: []byte(s.record(enabled))},
		)
		if err != nil {
			return err
		}
	}
	return b.layer.addAll(
		generated{path: pamState + "seen", body: []byte(seen)},
		generated{path: "/etc/security/opasswd", mode: 0o600},
		generated{path: "/etc/environment"},
	)
}

// record is what pam-auth-update compares a stack with to find local changes.
func (s pamStack) record(enabled []pamProfile) string {
	out := ""
	for _, block := range []string{"Primary", "Additional"} {
		first := true
		for _, p := range enabled {
			if s.takes(p, block) {
				out += "Module: " + p.name + "\n" + strings.TrimSuffix(p.lines(s.section, first), "\n") + "\n"
				first = false
			}
		}
		if block == "Primary" && first {
			out += "Module: null\n" + noPrimary
		}
	}
	return out
}

// withoutConflicts drops profiles that one of higher priority excludes.
func withoutConflicts(sorted []pamProfile) []pamProfile {
	var out []pamProfile
	conflict := func(x, y pamProfile) bool {
		names := strings.FieldsFunc(x.field("Conflicts"), func(r rune) bool { return r == ',' || r == ' ' })
		return slices.Contains(names, y.name)
	}
	for _, p := range sorted {
		if !slices.ContainsFunc(out, func(o pamProfile) bool { return conflict(o, p) || conflict(p, o) }) {
			out = append(out, p)
		}
	}
	return out
}

// render fills the two blocks of a template, which end where its comments or
// fixed lines go on.
func (s pamStack) render(template string, enabled []pamProfile) string {
	var out strings.Builder
	for _, l := range strings.SplitAfter(template, "\n") {
		word := strings.TrimSpace(l)
		switch {
		case strings.HasPrefix(word, "$") && strings.HasSuffix(word, "_primary"):
			out.WriteString(s.block(enabled, "Primary"))
		case strings.HasPrefix(word, "$") && strings.HasSuffix(word, "_additional"):
			out.WriteString(s.block(enabled, "Additional"))
		default:
			out.WriteString(l)
		}
	}
	return out.String()
}

// block is the lines of a block; "end" in a control means to jump over the
// lines that are left of it.
func (s pamStack) block(enabled []pamProfile, block string) string {
	var lines []string
	first := true
	for _, p := range enabled {
		if s.takes(p, block) {
			lines = append(lines, strings.Split(strings.TrimSpace(p.lines(s.section, first)), "\n")...)
			first = false
		}
	}
	left := len(lines)
	if block == "Additional" {
		left--
	} else if left == 0 {
		return s.module + "\t" + noPrimary
	}
	var out strings.Builder
	for _, l := range lines {
		control, rest := splitControl(l)
		control = strings.ReplaceAll(control, "end", strconv.Itoa(left))
		fmt.Fprintf(&out, "%s\t%s\t%s\n", s.module, control, strings.Join(strings.Fields(rest), " "))
		left--
	}
	return out.String()
}

// splitControl splits the control, which may be a bracketed list, off a line.
func splitControl(l string) (control, rest string) {
	if strings.HasPrefix(l, "[") {
		if i := strings.Index(l, "]"); i >= 0 {
			return l[:i+1], l[i+1:]
		}
	}
	if i := strings.IndexAny(l, " \t"); i >= 0 {
		return l[:i], l[i:]
	}
	return l, ""
}
