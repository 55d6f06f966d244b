package lock

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/riscv-build/riscv-build/recipes"
)

// restore is what to do about a lock that nobody has edited by hand and that
// is broken all the same.
const restore = "restore the file from version control, or delete it and run `riscv-build lock`"

var (
	sha256Grammar = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// gitGrammar is the address of a commit's tree: git+URL@COMMIT[#submodules].
	gitGrammar = regexp.MustCompile(`^git\+(https?|ssh|git|file)://[^#?\s]+@[0-9a-f]{40}(#submodules)?$`)
)

// New returns an empty lock.
func New() *File { return &File{Version: 1} }

// Load reads and validates a lock file. A file that is not there gives an
// error that wraps fs.ErrNotExist; a broken one gives recipes.Problems.
func Load(path string) (*File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading lock %q: %w: run `riscv-build lock` to write it", path, err)
	}
	return Parse(path, data)
}

// Parse does the work of Load on bytes; name is the file name for messages.
func Parse(name string, data []byte) (*File, error) {
	if problems := conflicts(name, data); len(problems) > 0 {
		return nil, problems
	}
	f := &File{}
	lines, err := recipes.Decode(name, data, f)
	var problems recipes.Problems
	if errors.As(err, &problems) {
		if lines == nil {
			return nil, syntax(problems)
		}
		for i := range problems {
			problems[i].Do = "use the riscv-build that wrote the lock, or " + restore
		}
		return nil, problems
	}
	if err != nil {
		return nil, err
	}
	c := &checker{file: f, name: name, lines: lines}
	c.check()
	if len(c.problems) > 0 {
		return nil, c.problems.Err()
	}
	f.sort()
	return f, nil
}

// conflicts finds the markers that version control leaves in a file it could
// not merge.
func conflicts(name string, data []byte) recipes.Problems {
	line := 0
	for text := range bytes.Lines(data) {
		line++
		for _, marker := range []string{"<<<<<<< ", "=======\n", ">>>>>>> ", "||||||| "} {
			if bytes.HasPrefix(text, []byte(marker)) {
				return recipes.Problems{{File: name, Line: line, What: fmt.Sprintf("the lock holds a merge conflict (%q)", strings.TrimSpace(string(text))),
					Do: "take either side (`git checkout --ours` or `--theirs`), then run `riscv-build lock`, which completes it"}}
			}
		}
	}
	return nil
}

// syntax rewords an error of the TOML syntax: nobody wrote this file by hand.
func syntax(problems recipes.Problems) recipes.Problems {
	for i := range problems {
		problems[i].Do = restore
		if strings.Contains(problems[i].What, "EOF") {
			problems[i].What = "the lock ends in the middle (" + problems[i].What + ")"
		}
	}
	return problems
}

// checker validates a decoded lock.
type checker struct {
	file     *File
	name     string
	lines    map[string]int
	problems recipes.Problems
}

func (c *checker) bad(key, what, do string) {
	c.problems = append(c.problems, recipes.Problem{File: c.name, Line: recipes.LineOf(c.lines, key), What: what, Do: do})
}

func (c *checker) check() {
	f := c.file
	if f.Version != 1 {
		what, do := fmt.Sprintf("version %d of the lock format is not known", f.Version), "use a newer riscv-build"
		if f.Version == 0 {
			what, do = "the lock names no version", restore
		}
		c.bad("version", what, do)
		return
	}
	for i, r := range f.Releases {
		if key := recipes.IndexPath("release", i); r.Suite == "" || r.Archive == "" {
			c.bad(key, "a release names no suite or no archive", restore)
		}
	}
	known := c.packages()
	c.sets(known)
	c.recipes()
}

// packages checks every package and returns the ids.
func (c *checker) packages() map[string]bool {
	first := map[string]int{}
	for i, p := range c.file.Packages {
		key := recipes.IndexPath("package", i)
		if p.ID == "" || p.Name == "" || p.Version == "" || p.Arch == "" || p.Archive == "" {
			c.bad(key, fmt.Sprintf("package %q lacks its id, name, version, arch or archive", p.ID), restore)
		}
		if j, ok := first[p.ID]; ok {
			c.bad(key+".id", fmt.Sprintf("package %q is locked twice, first in line %d", p.ID, recipes.LineOf(c.lines, recipes.IndexPath("package", j))), restore)
			continue
		}
		first[p.ID] = i
		c.sum(key, "package", p.ID, p.SHA256)
		if p.Size <= 0 {
			c.bad(key+".size", fmt.Sprintf("package %q has the size %d", p.ID, p.Size), restore)
		}
		if !poolPath(p.Path) {
			c.bad(key+".path", fmt.Sprintf("path %q of package %q does not lie in the archive's pool", p.Path, p.ID), restore)
		}
	}
	known := make(map[string]bool, len(first))
	for id := range first {
		known[id] = true
	}
	for i, p := range c.file.Packages {
		for j, id := range p.Depends {
			if !known[id] {
				c.bad(recipes.IndexPath(recipes.IndexPath("package", i)+".depends", j), fmt.Sprintf("package %q depends on %q, which is not locked", p.ID, id), restore)
			}
		}
	}
	return known
}

func (c *checker) sets(known map[string]bool) {
	seen := map[string]bool{}
	for i, s := range c.file.Sets {
		key := recipes.IndexPath("set", i)
		if s.Name == "" {
			c.bad(key, "a set has no name", restore)
		}
		if seen[s.Name] {
			c.bad(key+".name", fmt.Sprintf("set %q is locked twice", s.Name), restore)
		}
		seen[s.Name] = true
		for j, id := range s.Packages {
			if !known[id] {
				c.bad(recipes.IndexPath(key+".packages", j), fmt.Sprintf("set %q holds package %q, which is not locked", s.Name, id), restore)
			}
		}
	}
}

func (c *checker) recipes() {
	seen := map[string]bool{}
	for i, r := range c.file.Recipes {
		key := recipes.IndexPath("recipe", i)
		if r.Name == "" || r.Inputs == "" {
			c.bad(key, fmt.Sprintf("recipe %q lacks its name or inputs", r.Name), restore)
		}
		if seen[r.Name] {
			c.bad(key+".name", fmt.Sprintf("recipe %q is locked twice", r.Name), restore)
		}
		seen[r.Name] = true
		for j, src := range r.Sources {
			for k, blob := range src.Files {
				c.blob(recipes.IndexPath(recipes.IndexPath(key+".source", j)+".file", k), blob)
			}
		}
	}
}

func (c *checker) blob(key string, b Blob) {
	c.sum(key, "file", b.URL, b.SHA256)
	if b.Size < 0 {
		c.bad(key+".size", fmt.Sprintf("file %q has the size %d", b.URL, b.Size), restore)
	}
	for _, address := range append([]string{b.URL}, b.Mirrors...) {
		pool, archive := strings.CutPrefix(address, "debian:")
		web := strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
		if proxied, ok := strings.CutPrefix(address, "go:"); ok && modulePath(proxied) {
			continue
		}
		if archive && !poolPath(pool) || !archive && !web && !gitGrammar.MatchString(address) {
			c.bad(key+".url", fmt.Sprintf("address %q cannot be fetched", address), restore)
		}
	}
}

func (c *checker) sum(key, what, name, sum string) {
	if !sha256Grammar.MatchString(sum) {
		c.bad(key+".sha256", fmt.Sprintf("%q of %s %q is no sha256", sum, what, name), restore)
	}
}

// modulePath tells whether a path is one of a module proxy's files. It becomes
// part of an address and of file names.
func modulePath(p string) bool {
	return strings.Contains(p, "/@v/") && path.Clean("/"+p) == "/"+p && !strings.ContainsAny(p, "\\\x00\n?#")
}

// poolPath tells whether a path stays inside the archive's pool. It becomes
// part of an address and of file names.
func poolPath(p string) bool {
	return strings.HasPrefix(p, "pool/") && path.Clean(p) == p && !strings.ContainsAny(p, "\\\x00\n?#")
}
