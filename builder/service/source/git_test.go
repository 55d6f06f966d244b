package source

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/riscv-build/riscv-build/builder/service"
)

// gitCommand runs git in a repository.
func gitCommand(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=c", "GIT_COMMITTER_EMAIL=c@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit adds files to a repository, which is made if it is not there.
func commit(t *testing.T, dir string, files ...string) string {
	t.Helper()
	place(t, dir, files...)
	if !isDir(filepath.Join(dir, ".git")) {
		gitCommand(t, dir, "init", "-q", "-b", "trunk")
	}
	gitCommand(t, dir, "add", "-A")
	gitCommand(t, dir, "commit", "-q", "-m", "change")
	return gitCommand(t, dir, "rev-parse", "HEAD")
}

func TestGit(t *testing.T) {
	s, dir := open(t, Config{}), t.TempDir()
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "outside")); err != nil {
		t.Fatal(err)
	}
	first := commit(t, dir, "a.toml", recipe("a", withFiles), "files/x", "1", "sub/b.toml", recipe("b", plain),
		"evil/evil.toml", recipe("evil", strings.Replace(withFiles, "files/x", "out", 1)))
	gitCommand(t, dir, "tag", "-a", "-m", "one", "v1")
	if err := os.Symlink("/etc/hostname", filepath.Join(dir, "evil/out")); err != nil {
		t.Fatal(err)
	}
	second := commit(t, dir, "files/x", "2")
	url := "file://" + dir
	got := resolve(t, s, service.Submission{Git: &service.Git{URL: url}})
	if len(got) != 1 || got[0].Origin != (service.Origin{Kind: "git", URL: url, Commit: second, Path: "a.toml"}) {
		t.Fatalf("%+v", got)
	}
	for _, ref := range []string{"v1", first, "refs/tags/v1"} {
		old := resolve(t, s, service.Submission{Git: &service.Git{URL: dir, Ref: ref, Recipes: []string{"sub/b.toml", "a.toml"}}})
		if len(old) != 2 || old[0].Recipe != "b" || old[1].Origin.Commit != first || old[1].Inputs == got[0].Inputs {
			t.Errorf("%s: %+v", ref, old)
		}
	}
	for field, g := range map[string]service.Git{
		"git.ref":        {URL: url, Ref: "nowhere"},
		"git.recipes[0]": {URL: url, Recipes: []string{"evil/evil.toml"}},
	} {
		_, err := s.Resolve(context.Background(), service.Submission{Git: &g})
		if wrong := (*service.InvalidError)(nil); !errors.As(err, &wrong) || wrong.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	remote := open(t, Config{})
	remote.cfg.AllowLocalGit = false
	if _, err := remote.Resolve(context.Background(), service.Submission{Git: &service.Git{URL: url}}); err == nil || !strings.Contains(err.Error(), "nothing can be fetched") {
		t.Errorf("a directory of this machine: %v", err)
	}
}

func TestPushed(t *testing.T) {
	repo, home := t.TempDir(), t.TempDir()
	commit(t, repo, "a.toml", recipe("a", withFiles), "files/x", "1", "b.toml", recipe("b", plain))
	s := open(t, Config{Dir: home, Recipes: "file://" + repo})
	found := resolve(t, s, service.Submission{Recipes: []string{"a"}})[0]
	if found.Origin.Kind != service.FromRecipes || found.Origin.URL != "file://"+repo {
		t.Errorf("%+v", found)
	}
	pushed := func(p service.Push) []string {
		t.Helper()
		p.Sender, p.URLs = "forge", append(p.URLs, repo+".git")
		sub, err := s.Pushed(context.Background(), p)
		if err != nil || sub.Cause != service.ByWebhook || sub.Client != "webhook forge" {
			t.Errorf("%+v, %v", sub, err)
		}
		return sub.Recipes
	}
	head := commit(t, repo, "files/x", "2")
	if got := pushed(service.Push{Ref: "refs/heads/trunk", Commit: head, Paths: []string{"files/x", "README"}}); !slices.Equal(got, []string{"a"}) {
		t.Errorf("a file of a: %v", got)
	}
	if c := resolve(t, s, service.Submission{Recipes: []string{"a"}})[0]; c.Origin.Commit != head {
		t.Errorf("the commit is %+v", c.Origin)
	}
	commit(t, repo, "b.toml", recipe("b", plain)+"# changed\n", "c.toml", "schema = 9")
	if got := pushed(service.Push{Ref: "refs/heads/other", Paths: []string{"b.toml"}}); got != nil {
		t.Errorf("another branch: %v", got)
	}
	if got := pushed(service.Push{Ref: "refs/heads/trunk"}); !slices.Equal(got, []string{"b"}) {
		t.Errorf("paths are not known: %v", got)
	}
	if got := pushed(service.Push{Ref: "refs/heads/trunk"}); got != nil {
		t.Errorf("the same again: %v", got)
	}
	if sub, err := s.Pushed(context.Background(), service.Push{URLs: []string{"https://elsewhere.example/x"}}); err != nil || sub.Recipes != nil {
		t.Errorf("another repository: %+v, %v", sub, err)
	}
	if err := os.Rename(repo, repo+".away"); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(repo + ".away")
	var later *service.UnavailableError
	if _, err := s.Pushed(context.Background(), service.Push{URLs: []string{repo}}); !errors.As(err, &later) {
		t.Errorf("the repository is away: %v", err)
	}
	resolve(t, s, service.Submission{Recipes: []string{"a"}}) // from the last good checkout
	resolve(t, open(t, Config{Dir: home, Recipes: "file://" + repo}), service.Submission{Recipes: []string{"a"}})
}

func TestSameRepository(t *testing.T) {
	for _, other := range []string{"git@Host.example:team/r.git", "ssh://git@host.example:2222/team/r", "https://host.example/team/r/", "http://host.example/team/r.git"} {
		if sameRepository(other) != sameRepository("https://host.example/team/r.git") {
			t.Errorf("%s is another one: %s", other, sameRepository(other))
		}
	}
	if sameRepository("https://host.example/team/r2") == sameRepository("https://host.example/team/r") {
		t.Error("r2 is r")
	}
}
