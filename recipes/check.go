package recipes

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// DefaultTimeout is the time a test may take if it names none.
const DefaultTimeout = time.Minute

// The grammars of names. repository and tag are those of the OCI distribution
// specification ("Pulling manifests"), package names those of Debian Policy 5.6.1.
var (
	repositoryGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	packageGrammar    = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	versionGrammar    = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+~_-]*$`)
	sourceGrammar     = regexp.MustCompile(`^[a-z0-9][a-z0-9._+-]*$`)
	suiteGrammar      = regexp.MustCompile(`^[a-z0-9]+([./-][a-z0-9]+)*$`)
	envGrammar        = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	accountGrammar    = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
	userGrammar       = regexp.MustCompile(`^([a-z_][a-z0-9_-]*|[0-9]+)(:([a-z_][a-z0-9_-]*|[0-9]+))?$`)
	sha256Grammar     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	profileGrammar    = regexp.MustCompile(`^(rva20u64|rva22u64|rva23u64|rv64[gimafdqcbvh0-9p]+(_[a-z0-9]+)*)$`)
)

// checker collects the problems of one recipe.
type checker struct {
	r        *Recipe
	above    []string // files of the recipes that this one is the base of
	broken   []string // keys that decoding found a problem with: what follows from it is not reported
	problems Problems
}

// bad reports a problem with a key, unless decoding has one there already.
func (c *checker) bad(key, what, do string) {
	for _, b := range c.broken {
		if key == b || under(key, b) || under(b, key) {
			return
		}
	}
	c.problems = append(c.problems, c.r.Problem(key, what, do))
}

// under tells whether a key path lies below another.
func under(key, above string) bool {
	rest, ok := strings.CutPrefix(key, above)
	return ok && above != "" && rest != "" && (rest[0] == '.' || rest[0] == '[')
}

// checkAll applies every rule.
func (c *checker) checkAll() {
	c.checkHead()
	c.checkDebian()
	c.checkSources()
	c.checkBuild()
	c.checkImage()
	c.checkTree()
	c.checkTests()
	c.checkProfile()
	c.checkPush()
}

// ValidName tells whether a recipe can have this name. It becomes part of the
// image's repository.
func ValidName(name string) bool {
	return len(name) <= 128 && repositoryGrammar.MatchString(name) && !strings.Contains(name, "/")
}

func (c *checker) checkHead() {
	r := c.r
	switch {
	case !r.given("schema"):
		c.bad("schema", "the recipe names no schema", "start it with schema = 1")
	case r.Schema != 1:
		c.bad("schema", fmt.Sprintf("schema %d is not known", r.Schema), "use schema = 1, or a newer riscv-build")
	}
	switch {
	case r.Name == "":
		c.bad("name", "the recipe has no name", `add name = "..."`)
	case len(r.Name) > 128:
		c.bad("name", "the name is longer than 128 characters", "shorten it")
	case !ValidName(r.Name):
		c.bad("name", fmt.Sprintf("name %q cannot be part of an image's name", r.Name),
			`use small letters and digits, with ".", "_" or "-" between them`)
	}
	switch {
	case r.Version == "":
		c.bad("version", "the recipe has no version", `add version = "..." (of the software that the image holds)`)
	case !versionGrammar.MatchString(r.Version):
		c.bad("version", fmt.Sprintf("version %q is no version", r.Version), `use letters, digits and ".", "+", "~", "_", "-", and start with a letter or digit`)
	}
	if strings.ContainsAny(r.Summary, "\r\n") {
		c.bad("summary", "summary has several lines", "say it in one line")
	}
	if r.Home != "" && !strings.HasPrefix(r.Home, "https://") && !strings.HasPrefix(r.Home, "http://") {
		c.bad("home", fmt.Sprintf("home %q is no web address", r.Home), "start it with https://")
	}
}

func (c *checker) checkDebian() {
	d := c.r.Debian
	if len(d.Suites) == 0 {
		c.bad("debian.suites", "debian.suites is empty", `name at least one, or leave the key out for trixie with its updates`)
	}
	if len(d.Components) == 0 {
		c.bad("debian.components", "debian.components is empty", `use ["main"]`)
	}
	for i, suite := range d.Suites {
		if !suiteGrammar.MatchString(suite) {
			c.bad(IndexPath("debian.suites", i), fmt.Sprintf("suite %q is no suite name", suite), `use names such as "trixie" or "trixie-security"`)
		}
	}
	for i, component := range d.Components {
		if !suiteGrammar.MatchString(component) {
			c.bad(IndexPath("debian.components", i), fmt.Sprintf("component %q is no component name", component), `use "main", "contrib" or "non-free"`)
		}
	}
	for i, mirror := range d.Mirrors {
		if !isWebURL(mirror) {
			c.bad(IndexPath("debian.mirrors", i), fmt.Sprintf("mirror %q is no web address", mirror),
				"write the address that dists/ and pool/ lie below, such as https://mirror.example/debian")
		}
	}
	c.unique("debian.suites", "suite", d.Suites)
	c.unique("debian.components", "component", d.Components)
}

func (c *checker) checkProfile() {
	if p := c.r.Check.Profile; !profileGrammar.MatchString(p) {
		c.bad("check.profile", fmt.Sprintf("profile %q is not known", p),
			`use "rv64gc", "rva20u64", "rva22u64", "rva23u64" or an ISA string in small letters such as "rv64gc_zba_zbb"`)
	}
	for i, allow := range c.r.Check.Allow {
		key := IndexPath("check.allow", i)
		c.absolute(key+".path", allow.Path)
		if allow.ISA == "" && len(allow.Missing) == 0 {
			c.bad(key, "check.allow does not say what is allowed", `add isa = "v" (extensions, an ISA string or a machine), or missing = ["libfoo.so.*"]`)
		}
		for j, pattern := range allow.Missing {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				c.bad(IndexPath(key+".missing", j), fmt.Sprintf("%q is no pattern of library names", pattern), `write a name such as "libfoo.so.*"`)
			}
		}
		if strings.TrimSpace(allow.Why) == "" {
			c.bad(key+".why", "check.allow gives no reason", `add why = "...": why it does no harm`)
		}
	}
}

func (c *checker) checkPush() {
	p := c.r.Push
	// The default repository is as good as the name, which is checked already.
	given := c.r.given("push.repository")
	if given && !repositoryGrammar.MatchString(p.Repository) {
		do := `use small letters and digits, with ".", "_" or "-" between them and "/" between parts`
		if host, _, ok := strings.Cut(p.Repository, "/"); ok && strings.ContainsAny(host, ":.") {
			do = fmt.Sprintf("leave the registry out and give it on the command line: --push %s", host)
		}
		c.bad("push.repository", fmt.Sprintf("repository %q is no repository name", p.Repository), do)
	} else if given && len(p.Repository) > 255 {
		c.bad("push.repository", "push.repository is longer than 255 characters", "shorten it")
	}
	if len(p.Tags) == 0 {
		c.bad("push.tags", "push.tags is empty", `name at least one tag, or leave the key out for "{version}"`)
	}
	for i, tag := range p.Tags {
		key := IndexPath("push.tags", i)
		if !c.r.given("push.tags") {
			key = "version" // the tag is the default
		}
		if !tagGrammar.MatchString(tag) && versionGrammar.MatchString(c.r.Version) {
			c.bad(key, fmt.Sprintf("tag %q is no tag", tag),
				`set push.tags to texts of at most 128 letters, digits, "_", "." and "-" that start with no "." or "-"`)
		}
	}
	c.unique("push.tags", "tag", p.Tags)
}

// absolute reports a path of the image that is not absolute and clean.
func (c *checker) absolute(key, p string) bool {
	switch {
	case p == "":
		c.bad(key, key+" is missing", "give an absolute path of the image")
	case !strings.HasPrefix(p, "/"):
		c.bad(key, fmt.Sprintf("path %q is not absolute", p), fmt.Sprintf("write %q", path.Clean("/"+p)))
	case path.Clean(p) != p:
		c.bad(key, fmt.Sprintf("path %q is not clean", p), fmt.Sprintf("write %q", path.Clean(p)))
	case strings.ContainsRune(p, 0):
		c.bad(key, fmt.Sprintf("path %q holds a zero byte", p), "remove it")
	default:
		return true
	}
	return false
}

// beside reports a path that does not name something beside the recipe; want
// is "file" or "directory".
func (c *checker) beside(key, p, want string) {
	if !c.relative(key, p) {
		return
	}
	info, err := fs.Stat(c.r.Dir, p)
	switch {
	case err != nil:
		c.bad(key, fmt.Sprintf("%s %q is not there", want, p), "create it beside the recipe, or correct the path")
	case info.IsDir() != (want == "directory") || want == "file" && !info.Mode().IsRegular():
		c.bad(key, fmt.Sprintf("%q is no %s", p, want), "name a "+want+" beside the recipe")
	}
}

// relative reports a path that leaves the directory it is taken from.
func (c *checker) relative(key, p string) bool {
	switch {
	case strings.HasPrefix(p, "/"):
		c.bad(key, fmt.Sprintf("path %q is absolute", p), "write it relative to its directory")
	case p == ".." || strings.HasPrefix(path.Clean(p), "../") || path.Clean(p) == "..":
		c.bad(key, fmt.Sprintf("path %q leaves its directory", p), `put what it names below the directory and write the path without ".."`)
	case !fs.ValidPath(p):
		c.bad(key, fmt.Sprintf("path %q is not clean", p), fmt.Sprintf("write %q", path.Clean(p)))
	default:
		return true
	}
	return false
}

// unique reports what a list holds twice.
func (c *checker) unique(key, what string, list []string) {
	first := map[string]int{}
	for i, item := range list {
		if j, ok := first[item]; ok {
			c.bad(IndexPath(key, i), fmt.Sprintf("%s %q is listed twice", what, item),
				fmt.Sprintf("remove it here or in line %d", c.r.Line(IndexPath(key, j))))
			continue
		}
		first[item] = i
	}
}

// packages reports names that no Debian package can have.
func (c *checker) packages(key string, names []string) {
	for i, name := range names {
		if packageGrammar.MatchString(name) {
			continue
		}
		do := `use small letters, digits, "+", "-" and "."`
		switch {
		case strings.ContainsAny(name, "=<>"):
			do = "write the name alone: the lock holds the version"
		case strings.Contains(name, ":"):
			do = "write the name alone: the key decides the architecture"
		}
		c.bad(IndexPath(key, i), fmt.Sprintf("%q is no package name", name), do)
	}
	c.unique(key, "package", names)
}

// env reports names that no shell can read, and values no process can get.
func (c *checker) env(key string, vars map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		if !envGrammar.MatchString(name) {
			c.bad(JoinPath(key, name), fmt.Sprintf("%q is no name of an environment variable", name),
				`use letters, digits and "_", and start with no digit`)
		}
		if strings.ContainsRune(vars[name], 0) {
			c.bad(JoinPath(key, name), fmt.Sprintf("the value of %q holds a zero byte", name), "remove it")
		}
	}
}

// oneOf reports a word that is not among those known.
func (c *checker) oneOf(key, word string, known []string) {
	if slices.Contains(known, word) {
		return
	}
	do := "use one of " + strings.Join(known, ", ")
	if near := nearest(word, known); near != "" {
		do = fmt.Sprintf("did you mean %q? (one of %s)", near, strings.Join(known, ", "))
	}
	c.bad(key, fmt.Sprintf("%s %q is not known", lastKey(key), word), do)
}
