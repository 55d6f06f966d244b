package recipes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Variables are the names that "{name}" may hold in the keys url, mirrors, dsc, go,
// build.configure, build.env, image.env and push.tags.
var Variables = []string{"name", "version", "major", "minor", "patch"}

// variables returns the value of each variable the recipe defines.
func (r *Recipe) variables() map[string]string {
	values := map[string]string{"name": r.Name, "version": r.Version}
	// What follows the numbers ("-rc1", "+dfsg") belongs to none of them.
	numbers, _, _ := strings.Cut(strings.NewReplacer("+", "-", "~", "-", "_", "-").Replace(r.Version), "-")
	for i, number := range strings.Split(numbers, ".") {
		if i < 3 && number != "" {
			values[Variables[2+i]] = number
		}
	}
	return values
}

// unsetVariable is a variable that text names and that has no value.
type unsetVariable struct{ name string }

// expand replaces "{name}" by the value of the variable. "{{" gives a literal
// brace. After a "$" braces are the shell's and stay, and so does a brace that
// no name and closing brace follow, as in JSON. Variables without a value stay
// in the text and are returned.
func expand(text string, values map[string]string) (string, []unsetVariable) {
	var out strings.Builder
	var unset []unsetVariable
	for i := 0; i < len(text); {
		rest := text[i:]
		switch {
		case rest[0] == '$':
			n := 1 + len(rest[1:]) - len(strings.TrimLeft(rest[1:], "{"))
			out.WriteString(rest[:n])
			i += n
		case strings.HasPrefix(rest, "{{"):
			out.WriteByte('{')
			i += 2
		case rest[0] == '{' && variableName(rest) != "":
			name := variableName(rest)
			value, ok := values[name]
			if !ok {
				unset = append(unset, unsetVariable{name})
				value = "{" + name + "}"
			}
			out.WriteString(value)
			i += len(name) + 2
		default:
			out.WriteByte(rest[0])
			i++
		}
	}
	return out.String(), unset
}

// variableName returns NAME of a text that starts with "{NAME}".
func variableName(text string) string {
	name, _, closed := strings.Cut(text[1:], "}")
	if !closed || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return ""
	}
	return name
}

// expandVariables replaces variables in the keys that may hold them.
func (c *checker) expandVariables() {
	r, values := c.r, c.r.variables()
	one := func(key string, text *string) {
		out, unset := expand(*text, values)
		*text = out
		for _, v := range unset {
			c.unsetVariable(key, v.name)
		}
	}
	list := func(key string, texts []string) {
		for i := range texts {
			one(IndexPath(key, i), &texts[i])
		}
	}
	env := func(key string, vars map[string]string) {
		for _, name := range slices.Sorted(maps.Keys(vars)) {
			text := vars[name]
			one(JoinPath(key, name), &text)
			vars[name] = text
		}
	}
	for _, name := range r.sourceNames() {
		key, src := JoinPath("source", name), r.Source[name]
		one(key+".url", &src.URL)
		one(key+".dsc", &src.DSC)
		one(key+".go", &src.Go)
		list(key+".mirrors", src.Mirrors)
		r.Source[name] = src
	}
	list("build.configure", r.Build.Configure)
	env("build.env", r.Build.Env)
	env("image.env", r.Image.Env)
	list("push.tags", r.Push.Tags)
}

// unsetVariable reports a variable, and keeps what follows from it from being
// reported too.
func (c *checker) unsetVariable(key, name string) {
	defer func() { c.broken = append(c.broken, key) }()
	if slices.Contains(Variables, name) {
		do := fmt.Sprintf("write out the text, or give a version that has a %s number", name)
		c.bad(key, fmt.Sprintf("{%s} in %s has no value in version %q", name, key, c.r.Version), do)
		return
	}
	do := fmt.Sprintf("use one of {%s}, or \"{{\" for a literal brace", strings.Join(Variables, "} {"))
	if near := nearest(name, Variables); near != "" {
		do = fmt.Sprintf("did you mean {%s}? A literal brace is written \"{{\"", near)
	}
	c.bad(key, fmt.Sprintf("unknown variable {%s} in %s", name, key), do)
}

// sourceNames returns the names of the sources, sorted.
func (r *Recipe) sourceNames() []string {
	return slices.Sorted(maps.Keys(r.Source))
}
