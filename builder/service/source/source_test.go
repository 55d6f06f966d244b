package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/riscv-build/riscv-build/builder/service"
	"github.com/riscv-build/riscv-build/recipes/lock"
)

// recipe is the text of a small one.
func recipe(name, more string) string {
	return fmt.Sprintf("schema = 1\nname = %q\nversion = \"1\"\nsummary = \"s\"\nlicense = \"MIT\"\n%s\n", name, more)
}

const withFiles = `[image]
base = "scratch"
file = [{ path = "/x", from = "files/x" }]
[[test]]
name = "there"
file = { path = "/x" }`

const plain = `[image]
base = "scratch"
file = [{ path = "/x", content = "x" }]
[[test]]
name = "there"
file = { path = "/x" }`

// aLock is a lock without packages, that differs by its date.
func aLock(t *testing.T, name, inputs string) string {
	t.Helper()
	l := lock.New()
	l.PutRecipe(lock.Recipe{Name: name, Inputs: inputs})
	return string(l.Marshal())
}

func open(t *testing.T, cfg Config) *Sources {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.AllowLocalGit = true
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func upload(recipes []string, files ...string) service.Submission {
	u := &service.Upload{Recipes: recipes}
	for i := 0; i < len(files); i += 2 {
		u.Files = append(u.Files, service.File{Path: files[i], Content: []byte(files[i+1])})
	}
	return service.Submission{Upload: u}
}

func resolve(t *testing.T, s *Sources, sub service.Submission) []service.Candidate {
	t.Helper()
	found, err := s.Resolve(context.Background(), sub)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func build(c service.Candidate) service.Build {
	return service.Build{Recipe: c.Recipe, Origin: c.Origin, Tree: c.Tree, Inputs: c.Inputs}
}

func place(t *testing.T, dir string, files ...string) {
	t.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(files[i+1]), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUploadIsBuiltFromWhatTheRecipeNames(t *testing.T) {
	s := open(t, Config{Version: "v1"})
	sub := upload([]string{"d/top.toml"},
		"d/top.toml", recipe("top", strings.Replace(withFiles, `"scratch"`, `"recipe:below"`, 1)),
		"d/below.toml", recipe("below", plain), "d/files/x", "content", "d/other", "not named", "d/"+lock.Name, aLock(t, "top", "sha256:1"))
	sub.Options = service.Options{Mode: "native", Locked: true, Push: []string{"host:1"}, Tags: []string{"t"}}
	c := resolve(t, s, sub)[0]
	if c.Recipe != "top" || c.Version != "1" || c.Origin != (service.Origin{Kind: "upload", Path: "d/top.toml"}) || c.Tree.Validate() != nil || c.Inputs.Validate() != nil {
		t.Fatalf("%+v", c)
	}
	b := build(c)
	b.Options = sub.Options
	o, err := s.Open(context.Background(), b)
	if err != nil {
		t.Fatal(err)
	}
	r := o.Request
	if r.Recipe.Name != "top" || r.Recipe.File != "d/top.toml" || r.Recipe.Base().Root != r.Recipe.Root || r.LockPath != filepath.Join(r.Recipe.Root, lock.Name) ||
		r.Mode != "native" || !r.Locked || r.Push[0] != "host:1" || r.Tags[0] != "t" {
		t.Errorf("%+v", r)
	}
	if text, err := o.Lock(); err != nil || string(text) != aLock(t, "top", "sha256:1") {
		t.Errorf("lock %s, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(r.Recipe.Root, "files/x")); err != nil || string(text) != "content" {
		t.Errorf("%s, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(r.Recipe.Root, "other")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that nothing names is there: %v", err)
	}
	if err := o.Close(true); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.trees.work); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestInputs(t *testing.T) {
	s := open(t, Config{Version: "v1"})
	base := []string{"a.toml", recipe("a", withFiles), "files/x", "1", lock.Name, aLock(t, "a", "sha256:1")}
	first := resolve(t, s, upload([]string{"a.toml"}, base...))[0]
	for name, c := range map[string]struct {
		files []string
		same  bool
	}{
		"the same":            {base, true},
		"a file of no recipe": {append(slices.Clone(base), "y", "y"), true},
		"another recipe's entry in the lock": {[]string{"a.toml", base[1], "files/x", "1", lock.Name, func() string {
			l, err := lock.Parse("l", []byte(aLock(t, "a", "sha256:1")))
			if err != nil {
				t.Fatal(err)
			}
			l.PutRecipe(lock.Recipe{Name: "b", Inputs: "sha256:2"})
			return string(l.Marshal())
		}()}, true},
		"another file": {[]string{"a.toml", base[1], "files/x", "2", lock.Name, base[5]}, false},
		"another tag":  {[]string{"a.toml", base[1] + "[push]\ntags = [\"2\"]\n", "files/x", "1", lock.Name, base[5]}, false},
		"another lock": {[]string{"a.toml", base[1], "files/x", "1", lock.Name, aLock(t, "a", "sha256:3")}, false},
		"no lock":      {base[:4], false},
	} {
		if got := resolve(t, s, upload([]string{"a.toml"}, c.files...))[0]; (got.Inputs == first.Inputs) != c.same {
			t.Errorf("%s: the same: %t", name, !c.same)
		}
	}
	if got := resolve(t, open(t, Config{Version: "v2"}), upload([]string{"a.toml"}, base...))[0]; got.Inputs == first.Inputs || got.Tree != first.Tree {
		t.Errorf("another program: %+v", got)
	}
}

func TestWrongSubmissions(t *testing.T) {
	s := open(t, Config{})
	good := recipe("a", plain)
	many := upload([]string{"a.toml"}, "a.toml", good)
	for i := range treeFiles {
		many.Upload.Files = append(many.Upload.Files, service.File{Path: fmt.Sprint(i)})
	}
	linked := upload([]string{"a.toml"}, "a.toml", good)
	linked.Upload.Files[0].Mode = 0o120777
	for _, c := range []struct {
		sub         service.Submission
		field, text string
	}{
		{service.Submission{}, "", "exactly one"},
		{service.Submission{Recipes: []string{"busybox"}, Git: &service.Git{}}, "", "exactly one"},
		{service.Submission{Recipes: []string{"busybox", "ngimx"}}, "recipes[1]", `did you mean "nginx"`},
		{service.Submission{Recipes: []string{"../busybox"}}, "recipes[0]", "there is none"},
		{upload(nil, "a.toml", good), "upload.recipes", "names no recipe"},
		{upload([]string{"b.toml"}, "a.toml", good), "upload.recipes[0]", "no such file"},
		{upload([]string{"../a.toml"}, "a.toml", good), "upload.recipes[0]", "no path below"},
		{upload([]string{"a.toml"}, "a.toml", "schema = 1\nname = 2"), "upload.recipes[0]", "a.toml:2:"},
		{upload([]string{"a.toml"}, "a.toml", good, lock.Name, "x"), "upload.recipes[0]", lock.Name + ":1"},
		{upload([]string{"a.toml"}, "a.toml", good, "../x", ""), "upload.files[1].path", "no clean path"},
		{upload([]string{"a.toml"}, "a.toml", good, "/etc/x", ""), "upload.files[1].path", "no clean path"},
		{upload([]string{"a.toml"}, "a.toml", good, "a//b", ""), "upload.files[1].path", "no clean path"},
		{upload([]string{"a.toml"}, "a.toml", good, "a.toml", ""), "upload.files[1].path", "files[0] has it"},
		{upload([]string{"a.toml"}, "a.toml", good, "a.toml/b", ""), "upload.files[1].path", "no other file"},
		{upload([]string{"a.toml"}, "a.toml", good, "x", string(make([]byte, treeBytes))), "upload.files[1].content", "16 MiB"},
		{
			upload([]string{"a.toml"}, "a.toml", recipe("a", plain+"\n[source.s]\ngit = \"file:///srv/r\"\ncommit = \""+strings.Repeat("a", 40)+"\"\n[build]\ntemplate = \"make\"\n")),
			"upload.recipes[0]", "disk of the machine",
		},
		{upload([]string{"a.toml"}, "a.toml", string(make([]byte, recipeBytes+1))), "upload.files[0].content", "1 MiB"},
		{linked, "upload.files[0].mode", "only regular files"},
		{many, "upload.files", "1000"},
		{service.Submission{Git: &service.Git{URL: "https://anna:secret@host/r"}}, "git.url", "netrc"},
		{service.Submission{Git: &service.Git{URL: "ftp://host/r"}}, "git.url", "nothing can be fetched"},
		{service.Submission{Git: &service.Git{URL: "file://" + t.TempDir()}}, "git.url", "no git repository"},
	} {
		_, err := s.Resolve(context.Background(), c.sub)
		var wrong *service.InvalidError
		if !errors.As(err, &wrong) || wrong.Field != c.field || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s %s: got %v (%+v)", c.field, c.text, err, wrong)
		}
	}
	if left, err := os.ReadDir(s.trees.work); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestNames(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "busybox.toml", recipe("busybox", plain), "mine.toml", recipe("mine", withFiles), "files/x", "1", "broken.toml", "schema = 2")
	s := open(t, Config{Recipes: dir, Version: "v"})
	found := resolve(t, s, service.Submission{Recipes: []string{"busybox", "catalog/busybox", "nginx", "mine"}})
	var kinds []string
	for _, c := range found {
		kinds = append(kinds, c.Recipe+" "+c.Origin.Kind+" "+c.Origin.Path)
	}
	if got := strings.Join(kinds, ", "); got != "busybox recipes busybox.toml, busybox catalog busybox, nginx catalog nginx, mine recipes mine.toml" {
		t.Error(got)
	}
	all, err := s.Recipes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, r := range all {
		count[r.Name+" "+r.From]++
		if (r.Problem != "") != (r.Name == "broken") {
			t.Errorf("%s: %s", r.Name, r.Problem)
		}
	}
	if count["busybox recipes"] != 1 || count["busybox catalog"] != 0 || count["nginx catalog"] != 1 || all[0].Name != "broken" {
		t.Errorf("%v", count)
	}
	requests, done, err := s.All(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if len(requests) != len(all)-1 || requests[0].Recipe.Name != "busybox" || strings.HasPrefix(requests[0].LockPath, dir) {
		t.Errorf("%d requests for %d recipes, the first %+v", len(requests), len(all), requests[0])
	}
	if err := done(); err != nil {
		t.Error(err)
	}
	place(t, dir, "new.toml", recipe("new", plain))
	resolve(t, s, service.Submission{Recipes: []string{"new"}})
	if sub, err := s.Pushed(context.Background(), service.Push{URLs: []string{dir}}); err != nil || len(sub.Recipes) != 0 {
		t.Errorf("a push to a directory: %+v, %v", sub, err)
	}
}

// TestLocksAreKept builds two recipes of a directory that has no lock, and then
// gives it one.
func TestLocksAreKept(t *testing.T) {
	dir := t.TempDir()
	place(t, dir, "a.toml", recipe("a", plain), "b.toml", recipe("b", plain))
	s := open(t, Config{Recipes: dir})
	sub := service.Submission{Recipes: []string{"a", "b"}}
	found := resolve(t, s, sub)
	visit := func(c service.Candidate, succeeded bool, then string) (before string) {
		t.Helper()
		o, err := s.Open(context.Background(), build(c))
		if err != nil {
			t.Fatal(err)
		}
		text, err := o.Lock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
		if then != "" {
			place(t, filepath.Dir(o.Request.LockPath), lock.Name, then)
		}
		if err := o.Close(succeeded); err != nil {
			t.Error(err)
		}
		return string(text)
	}
	one, two, three := aLock(t, "a", "sha256:1"), aLock(t, "a", "sha256:2"), aLock(t, "a", "sha256:3")
	if got := visit(found[0], false, two); got != "" {
		t.Errorf("at first: %s", got)
	}
	if got := visit(found[0], true, one); got != "" {
		t.Errorf("after a build that failed: %s", got)
	}
	if got := visit(found[1], true, two); got != one {
		t.Errorf("the other recipe: %s", got)
	}
	again := resolve(t, s, sub)
	if got := visit(again[0], true, ""); got != two || again[0].Tree != found[0].Tree || again[0].Inputs == found[0].Inputs {
		t.Errorf("again: %s", got)
	}
	if names, err := filepath.Glob(filepath.Join(dir, lock.Name)); err != nil || len(names) != 0 {
		t.Errorf("the user's directory has %v, %v", names, err)
	}
	place(t, dir, lock.Name, three)
	if got := visit(resolve(t, s, sub)[0], true, ""); got != three {
		t.Errorf("with the user's own: %s", got)
	}
	if left, err := os.ReadDir(s.locks.dir); err != nil || len(left) != 0 {
		t.Errorf("kept: %v, %v", left, err)
	}
}

func TestCatalog(t *testing.T) {
	s := open(t, Config{Version: "v"})
	c := resolve(t, s, service.Submission{Recipes: []string{"busybox"}})[0]
	o, err := s.Open(context.Background(), build(c))
	if err != nil {
		t.Fatal(err)
	}
	if o.Request.LockPath != "" || c.Tree != "" || o.Request.Recipe.Name != "busybox" {
		t.Errorf("%+v %+v", c, o.Request)
	}
	text, err := o.Lock()
	if l, parseErr := lock.Parse("l", text); err != nil || parseErr != nil || len(l.Recipes) != 1 {
		t.Errorf("lock: %v, %v", err, parseErr)
	}
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	sub := upload([]string{"a.toml", "b.toml", "c.toml"}, "a.toml", recipe("a", plain), "b.toml", recipe("b", plain), "c.toml", recipe("c", plain))
	found := resolve(t, s, sub)
	old := time.Now().Add(-2 * youth)
	for _, c := range found {
		if err := os.Chtimes(s.trees.path(c.Tree), old, old); err != nil {
			t.Fatal(err)
		}
	}
	resolve(t, s, upload([]string{"c.toml"}, "c.toml", recipe("c", plain))) // young again
	if err := s.Sweep(context.Background(), func(d digest.Digest) bool { return d == found[0].Tree }); err != nil {
		t.Fatal(err)
	}
	for i, there := range []bool{true, false, true} {
		if _, err := s.Open(context.Background(), build(found[i])); (err == nil) != there {
			t.Errorf("tree %d: %v", i, err)
		}
	}
	open(t, Config{Dir: dir}) // after a kill: what was open is removed
	if left, err := os.ReadDir(filepath.Join(dir, "work")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	damaged, err := os.ReadFile(s.trees.path(found[0].Tree))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.trees.path(found[0].Tree), bytes.ToUpper(damaged), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(context.Background(), build(found[0])); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("a damaged tree: %v", err)
	}
}
