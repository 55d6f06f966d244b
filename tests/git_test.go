package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/riscv-build/riscv-build/recipes"
)

const gitRecipe = `schema = 1
name = "greeting"
version = "1"
summary = "says where it comes from"
license = "MIT"
[source.greeting]
git = "%s"
commit = "%s"
[build]
template = "script"
[build.steps]
compile = '$CC -O2 -static -o greeting main.c'
install = 'install -D greeting "$DESTDIR/greeting"; stat -c %%Y main.c >"$DESTDIR/date"'
[image]
base = "scratch"
entrypoint = ["/greeting"]
[[test]]
name = "greets"
run = []
stdout = { equals = "from git\n" }
[[test]]
name = "files have the date of the commit"
file = { path = "/date", equals = "1700000000\n" }
`

// repository makes a repository with a program and gives the commit.
func repository(t *testing.T, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "main.c"), "#include <stdio.h>\nint main(void) { puts(\"from git\"); return 0; }\n")
	script := `cd "$0" && git init -q -b main && git add -A && git -c user.name=a -c user.email=a@example.org commit -q -m one &&
git -c user.name=a -c user.email=a@example.org commit -q --allow-empty -m two && git rev-parse HEAD~1`
	env := []string{"GIT_COMMITTER_DATE=1700000000 +0000", "GIT_CONFIG_GLOBAL=/dev/null"}
	r := command(t.Context(), env, need(t, "sh", "dash"), "-c", script, dir)
	if r.Code != 0 {
		t.Fatalf("making a repository: %s", r.Stderr)
	}
	return strings.TrimSpace(r.Stdout)
}

// daemon serves the repositories below a directory by git's own protocol.
func daemon(t *testing.T, dir string) (address string, stop func()) {
	t.Helper()
	port := freePort(t)
	// `git daemon` would be two processes.
	programs, err := sh(need(t, "git", "git"), "--exec-path")
	if err != nil {
		t.Fatal(err)
	}
	cmd := start(t, need(t, filepath.Join(programs, "git-daemon"), "git"), "--listen=127.0.0.1", fmt.Sprintf("--port=%d", port), "--base-path="+dir, "--export-all", "--reuseaddr", dir)
	host := fmt.Sprintf("127.0.0.1:%d", port)
	waitFor(t, 20*time.Second, "git daemon", func() bool {
		c, err := net.Dial("tcp", host)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return "git://" + host, func() { _ = cmd.Process.Kill() }
}

var gitSum = regexp.MustCompile(`url = "git\+[^"]*", size = [0-9]+, sha256 = "([0-9a-f]{64})"`)

// TestGitSource builds a commit, and looks at what is said when it cannot be had.
func TestGitSource(t *testing.T) {
	dir := t.TempDir()
	commit := repository(t, filepath.Join(dir, "git", "greeting"))
	address, stop := daemon(t, filepath.Join(dir, "git"))
	file, lockFile := filepath.Join(dir, "greeting.toml"), filepath.Join(dir, "riscv-build.lock")
	write(t, file, fmt.Sprintf(gitRecipe, address+"/greeting", commit))
	write(t, lockFile, string(recipes.CatalogLock())) // its toolchain is downloaded already
	s := downloaded(t, "state")
	s.ok("lock", file)
	text, err := os.ReadFile(lockFile)
	if err != nil {
		t.Fatal(err)
	}
	found := gitSum.FindStringSubmatch(string(text))
	if found == nil || !strings.Contains(string(text), "git+"+address+"/greeting@"+commit) {
		t.Fatalf("the lock does not name the commit:\n%s", tail(string(text), 12))
	}
	forget := func() {
		if err := os.Remove(filepath.Join(s.dir, "content", "blobs", "sha256", found[1])); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(what string, code int, args []string, wants ...string) {
		t.Helper()
		r := s.run(append(args, file, "--progress", "plain")...)
		if r.Code != code {
			t.Errorf("%s: exit %d, want %d\n%s", what, r.Code, code, tail(r.Stderr, 20))
		}
		for _, want := range wants {
			if !strings.Contains(r.Stderr, want) {
				t.Errorf("%s: %q is missing in:\n%s", what, want, tail(r.Stderr, 20))
			}
		}
	}
	forget()
	refused("offline without the commit", 4, []string{"build", "--offline"}, "greeting@"+commit[:12], "riscv-build fetch")
	s.ok("fetch", file)
	s.build(file, "--mode", "cross", "--offline", "--locked")

	forget()
	write(t, lockFile, strings.ReplaceAll(string(text), found[1], strings.Repeat("ab", 32)))
	refused("a lock with another sha256", 2, []string{"fetch"}, "sha256:"+found[1], "sha256:"+strings.Repeat("ab", 32), "lock --update")
	write(t, lockFile, string(text))
	write(t, file, fmt.Sprintf(gitRecipe, address+"/greeting", strings.Repeat("12", 20)))
	refused("a commit that is not there", 2, []string{"lock"}, `source "greeting" (`+file+":8)", "does not have this commit", "git ls-remote")
	write(t, file, fmt.Sprintf(gitRecipe, address+"/greeting", commit))
	stop()
	s.run("cache", "prune", "--keep", "100GB")
	if err := os.RemoveAll(filepath.Join(s.dir, "content", "blobs", "sha256", found[1])); err != nil {
		t.Fatal(err)
	}
	refused("a server that is gone", 4, []string{"fetch"}, `source "greeting" (`+file+":8)", address, "mirrors")
}
